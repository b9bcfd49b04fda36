"""Batches of a dataset version: any one a pure function of (version, seed, step), read directly from its shards.

B rows a batch, S sequence length. In: a `Version`, rows a batch, a seed. Out: `Batch`es of numpy arrays (B, S). Both
CRCs of a record are checked each time it is read, so damage of the disk or of memory never reaches a model.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, islice
from typing import NamedTuple

import numpy as np

from pipelines.store.errors import GlamError
from pipelines.store.sequences import SequenceReader, SequenceRecord, decode_sequence
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
        return decode_sequence(self.payload(number), self._token_dtype)

    def payload(self, number: int) -> bytes:
        """Return record `number` as it is stored."""
        shard, record = self.locate(number)
        return self._readers[shard].record(record)

    def locate(self, number: int) -> tuple[int, int]:
        """Return the shard that holds record `number`, and the record's number in it."""
        if not 0 <= number < len(self):
            raise IndexError(f"record {number} of {len(self)}")
        shard = bisect_right(self._ends, number)
        return shard, number - (self._ends[shard - 1] if shard else 0)


class RecordPlace(NamedTuple):
    """Where a row comes from: component, url of the shard, and number of the record in it."""

    component: str
    shard: str
    record: int


class TrainingData:
    """The training batches of a version for a seed.

    Args:
        version: whose shards to read.
        rows: of a batch.
        seed: of the order.
        weights: by component, of a sum of 1; the version's if None.
    """

    def __init__(self, version: Version, rows: int, seed: int, weights: Mapping[str, float] | None = None) -> None:
        components = version.components
        if weights is None:
            weights = {name: entry.weight for name, entry in components.items()}
        self._rows = rows
        self._length = version.sequence_length
        self._shards = {name: components[name].shards for name in weights}
        self._records = {name: Records(shards, version.token_dtype) for name, shards in self._shards.items()}
        self._reader = SequenceReader(version.sequence_length, version.token_dtype)
        self._token_dtype = version.token_dtype
        try:
            self._order = TrainingOrder(weights, {name: len(part) for name, part in self._records.items()}, seed)
        except ValueError as error:
            raise GlamError(f"{version.url}: {error}") from error

    def _payloads(self, step: int, part: slice) -> list[bytes]:
        first, end, _ = part.indices(self._rows)
        payloads = [b""] * (end - first)
        for component, (rows, numbers) in self._order.places(step * self._rows + first, end - first).items():
            read = self._records[component].payload
            for row, number in zip(rows.tolist(), numbers.tolist(), strict=True):
                payloads[row] = read(number)
        return payloads

    def places(self, step: int) -> list[RecordPlace]:
        """Return where the rows of the batch of `step` (from 0) come from, row by row."""
        found: dict[int, RecordPlace] = {}
        for component, (rows, numbers) in self._order.places(step * self._rows, self._rows).items():
            for row, number in zip(rows.tolist(), numbers.tolist(), strict=True):
                shard, record = self._records[component].locate(number)
                found[row] = RecordPlace(component, self._shards[component][shard], record)
        return [found[row] for row in sorted(found)]

    def records(self, step: int) -> list[SequenceRecord]:
        """Return the records of the batch of `step` (from 0), row by row."""
        return [decode_sequence(payload, self._token_dtype) for payload in self._payloads(step, slice(None))]

    def batch(self, step: int, part: slice = slice(None)) -> Batch:
        """Return the batch of `step` (from 0), or a range of its rows, without reading the others."""
        tokens, bounds = self._reader.read(self._payloads(step, part))
        return _batch(tokens.astype(np.int32), bounds)


def assemble(records: Sequence[SequenceRecord], rows: int, length: int) -> Batch:
    """Make a batch of at most `rows` records of `length` inputs; the rows left over are padding."""
    tokens = np.zeros((rows, length + 1), np.int32)
    for row, record in enumerate(records):
        tokens[row] = record.tokens
    padding = [np.zeros(1, np.uint32)] * (rows - len(records))
    return _batch(tokens, [*(record.segment_bounds for record in records), *padding])


def _batch(tokens: np.ndarray, bounds: Sequence[np.ndarray]) -> Batch:
    """Make a batch of tokens (B, S + 1) int32 and the segment bounds of each row.

    The numbers of the segments are written in one go: each as often as its segment has inputs, then zeros.
    """
    rows, length = len(tokens), tokens.shape[1] - 1
    sizes = np.fromiter(map(len, bounds), np.int64, rows)
    ends = np.cumsum(sizes)
    joined = np.concatenate(bounds).astype(np.int64)
    real_tokens = joined[ends - 1]
    inputs = np.minimum(joined, length)
    lengths = np.empty(len(joined), np.int64)
    lengths[:-1] = inputs[1:] - inputs[:-1]
    lengths[ends - 1] = length - inputs[ends - 1]
    numbers = np.arange(1, len(joined) + 1, dtype=np.int32) - np.repeat((ends - sizes).astype(np.int32), sizes)
    numbers[ends - 1] = 0
    segments = np.repeat(numbers, lengths).reshape(rows, length)
    counted = np.arange(1, length + 1) < real_tokens[:, None]
    return Batch(tokens[:, :-1], tokens[:, 1:], segments, counted)


def in_batches(records: Iterable[SequenceRecord], rows: int) -> Iterator[list[SequenceRecord]]:
    """Split records into lists of `rows`, the last one maybe shorter."""
    iterator = iter(records)
    while chunk := list(islice(iterator, rows)):
        yield chunk
