"""What crosses between workers: packed records keyed by a small integer, never one element a document.

The bytes are counted by the Beam metric `deduplicate / shuffled_bytes`, for reports alone; no figure of the ledger
comes from a metric, since a bundle that is tried again counts twice there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
from apache_beam.metrics import Metrics
from numpy.typing import NDArray

BUFFER_BYTES = 16 << 20
"""Records that a worker holds back to make larger blocks."""

SHUFFLED_BYTES = "shuffled_bytes"
_shuffled = Metrics.counter("deduplicate", SHUFFLED_BYTES)


def node_address(nodes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the address of the shard that holds each node."""
    return (nodes >> np.uint64(32)).astype(np.int64)


def node_row(nodes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the row of each node in its shard."""
    return (nodes & np.uint64(0xFFFFFFFF)).astype(np.int64)


def make_nodes(address: int, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return the nodes of rows of the shard at `address`: address · 2^32 + row."""
    return np.uint64(address << 32) | rows.astype(np.uint64)


def keyed_block(key: int, block: bytes, groupings: int = 1) -> tuple[int, bytes]:
    """Return an element for a GroupByKey, or for several, its bytes counted for each."""
    _shuffled.inc(len(block) * groupings)
    return key, block


def scatter(records: np.ndarray, keys: NDArray[np.int64], groupings: int = 1) -> Iterator[tuple[int, bytes]]:
    """Yield (key, packed records) for each key that occurs; `groupings` take them."""
    if not len(records):
        return
    order = np.argsort(keys, kind="stable")
    records, keys = records[order], keys[order]
    bounds = np.flatnonzero(np.diff(keys, prepend=keys[0] - 1)).tolist()
    for start, end in pairwise([*bounds, len(records)]):
        yield keyed_block(int(keys[start]), records[start:end].tobytes(), groupings)


def load(blocks: Iterable[bytes], dtype: np.dtype) -> np.ndarray:
    """Return the records of several blocks."""
    return np.frombuffer(b"".join(blocks), dtype)


class Outbox:
    """Collects records and keys until there are enough to be worth sending.

    Args:
        dtype: of the records.
    """

    def __init__(self, dtype: np.dtype) -> None:
        self._dtype = dtype
        self._records: list[np.ndarray] = []
        self._keys: list[NDArray[np.int64]] = []
        self._bytes = 0

    def add(self, records: np.ndarray, keys: NDArray[np.int64]) -> None:
        """Put records in."""
        self._records.append(records)
        self._keys.append(keys)
        self._bytes += records.nbytes

    @property
    def full(self) -> bool:
        """Whether it is time to send."""
        return self._bytes >= BUFFER_BYTES

    def send(self) -> Iterator[tuple[int, bytes]]:
        """Yield everything as (key, packed records) and empty the box."""
        if self._records:
            records, keys = np.concatenate(self._records), np.concatenate(self._keys)
            self._records, self._keys, self._bytes = [], [], 0
            yield from scatter(records, keys)
