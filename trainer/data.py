"""Batches of a dataset version: any one a pure function of (version, seed, step), read directly from its shards.

B rows a batch, S sequence length. In: a `Version`, rows a batch, a seed. Out: `Batch`es of numpy arrays (B, S).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, islice

import numpy as np

from pipelines.store.errors import GlamError
from pipelines.store.sequences import SequenceRecord, decode_sequence
from pipelines.store.tfrecord import ShardReader
from pipelines.store.versions import Version
from trainer.batch import Batch
from trainer.order import TrainingOrder


class Records:
    """The records of a list of shards, by number."""

    def __init__(self, shards: Sequence[str], token_dtype: str) -> None:
        self._readers = [ShardReader(url) for url in shards]
        self._ends = list(accumulate(len(reader) for reader in self._readers))
        self._token_dtype = token_dtype

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, number: int) -> SequenceRecord:
        if not 0 <= number < len(self):
            raise IndexError(f"record {number} of {len(self)}")
        shard = bisect_right(self._ends, number)
        start = self._ends[shard - 1] if shard else 0
        return decode_sequence(self._readers[shard].record(number - start), self._token_dtype)


class TrainingData:
    """The training batches of a version for a seed."""

    def __init__(self, version: Version, rows: int, seed: int) -> None:
        components = version.components
        self._rows = rows
        self._length = version.sequence_length
        self._records = {name: Records(entry.shards, version.token_dtype) for name, entry in components.items()}
        weights = {name: entry.weight for name, entry in components.items()}
        try:
            self._order = TrainingOrder(weights, {name: len(part) for name, part in self._records.items()}, seed)
        except ValueError as error:
            raise GlamError(f"{version.url}: {error}") from error

    def records(self, step: int) -> list[SequenceRecord]:
        """Return the records of the batch of `step` (from 0), row by row."""
        places = [self._order.place(step * self._rows + row) for row in range(self._rows)]
        return [self._records[place.component][place.record] for place in places]

    def batch(self, step: int) -> Batch:
        """Return the batch of `step` (from 0)."""
        return assemble(self.records(step), self._rows, self._length)


def assemble(records: Sequence[SequenceRecord], rows: int, length: int) -> Batch:
    """Make a batch of at most `rows` records; the rows left over are padding."""
    tokens = np.zeros((rows, length + 1), np.int32)
    segments = np.zeros((rows, length), np.int32)
    real_tokens = np.zeros((rows, 1), np.int64)
    for row, record in enumerate(records):
        bounds = record.segment_bounds.astype(np.int64)
        tokens[row] = record.tokens
        real_tokens[row] = bounds[-1]
        lengths = np.diff(np.minimum(bounds, length))
        segments[row, : lengths.sum()] = np.repeat(np.arange(1, len(bounds)), lengths)
    counted = np.arange(1, length + 1) < real_tokens
    return Batch(tokens[:, :-1], tokens[:, 1:], segments, counted)


def in_batches(records: Iterable[SequenceRecord], rows: int) -> Iterator[list[SequenceRecord]]:
    """Split records into lists of `rows`, the last one maybe shorter."""
    iterator = iter(records)
    while chunk := list(islice(iterator, rows)):
        yield chunk
