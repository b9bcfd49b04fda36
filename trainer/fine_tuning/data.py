"""Batches of examples: any one a pure function of (examples, rows, seed, step).

B rows a batch, S sequence length. The examples of an epoch are put in order by keyed hash and packed in that order:
into a row as long as the next one fits, then into another. In a row they are segments, which do not see each other.
The rows of one epoch follow those of the one before, so a batch may hold the end of one and the beginning of the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from pipelines.store.hashing import KeyedHash
from trainer.batch import Batch
from trainer.fine_tuning.examples import Example


class FineTuningData:
    """The batches of a fine-tuning.

    Args:
        examples: none longer than `length`.
        rows: B.
        length: S.
        seed: of the order.
    """

    def __init__(self, examples: Sequence[Example], rows: int, length: int, seed: int) -> None:
        self._examples, self._rows, self._length = examples, rows, length
        self._shuffle = KeyedHash(seed, "fine-tuning")
        self._packed = lru_cache(maxsize=2)(self._pack_epoch)
        self._starts = [0]

    def steps(self, epochs: int) -> int:
        """Return the batches that it takes to read every example `epochs` times."""
        return -(-self._start(epochs) // self._rows)

    def batch(self, step: int, part: slice = slice(None)) -> Batch:
        """Return the batch of `step` (from 0), or a range of its rows."""
        numbers = range(step * self._rows, (step + 1) * self._rows)[part]
        inputs, targets, segments = np.zeros((3, len(numbers), self._length), np.int32)
        counted = np.zeros((len(numbers), self._length), bool)
        for row, packed in enumerate(self.rows(numbers)):
            end = 0
            for segment, example in enumerate((self._examples[number] for number in packed), 1):
                begin, end = end, end + len(example.tokens) - 1
                inputs[row, begin:end], targets[row, begin:end] = example.tokens[:-1], example.tokens[1:]
                segments[row, begin:end] = segment
                counted[row, begin + example.prompt : end] = True
        return Batch(inputs, targets, segments, counted)

    def rows(self, numbers: Sequence[int]) -> Iterator[list[int]]:
        """Yield, of rows by their number since the beginning, the numbers of their examples."""
        epoch = 0
        for number in numbers:
            while self._start(epoch + 1) <= number:
                epoch += 1
            yield self._packed(epoch)[number - self._starts[epoch]]

    def _start(self, epoch: int) -> int:
        """Return the number of an epoch's first row."""
        while len(self._starts) <= epoch:
            self._starts.append(self._starts[-1] + len(self._packed(len(self._starts) - 1)))
        return self._starts[epoch]

    def _pack_epoch(self, epoch: int) -> list[list[int]]:
        keys = (np.array([epoch, number], "<u8").tobytes() for number in range(len(self._examples)))
        order = np.argsort(np.array(self._shuffle.many(keys), np.uint64), kind="stable")
        rows: list[list[int]] = []
        room = 0
        for number in order.tolist():
            size = len(self._examples[number].tokens) - 1
            if size > room:
                rows.append([])
                room = self._length
            rows[-1].append(number)
            room -= size
        return rows
