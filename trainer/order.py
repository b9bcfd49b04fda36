"""Which record is which row of which batch: a pure function of (weights, record counts, seed, position).

docs/formats.md, "The order of training". Nothing here knows a version's id, so two versions that differ in one
component have equal rows of all the others in every batch; nothing is drawn in sequence, so any batch is known
without the ones before. All integers in hashed keys are 8 bytes, little-endian.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from pipelines.store.hashing import KeyedHash

BLOCK_ROWS = 1000
FEISTEL_ROUNDS = 6


class Place(NamedTuple):
    """A record: its component and its number among the component's records."""

    component: str
    record: int


class Permutation:
    """A permutation of 0 … size − 1 that is computed entry by entry, from a table of the order of √size.

    A Feistel network of six rounds permutes the numbers of 2·h bits, h the least with 4^h ≥ size; a number that comes
    out at `size` or more is put in again until it does not (at most four times on average). The round function is the
    low h bits of hash(seed, `shuffle`, name NUL epoch round right-half): 6·2^h hashes, made once.
    """

    def __init__(self, size: int, hash_function: KeyedHash, name: str, epoch: int) -> None:
        self._size = size
        self._bits = max(1, ((size - 1).bit_length() + 1) // 2)
        self._mask = (1 << self._bits) - 1
        prefix = name.encode() + b"\0" + _number(epoch)
        keys = (prefix + _number(n) + _number(half) for n in range(FEISTEL_ROUNDS) for half in range(self._mask + 1))
        drawn = np.array([hashed & self._mask for hashed in hash_function.many(keys)], np.int64)
        self._rounds = drawn.reshape(FEISTEL_ROUNDS, self._mask + 1)

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        """Return the numbers (int64) at `positions` (int64)."""
        values = self._network(positions)
        while (outside := values >= self._size).any():
            values[outside] = self._network(values[outside])
        return values

    def _network(self, values: np.ndarray) -> np.ndarray:
        left, right = values >> self._bits, values & self._mask
        for drawn in self._rounds:
            left, right = right, left ^ drawn[right]
        return left << self._bits | right


def _number(value: int) -> bytes:
    return value.to_bytes(8, "little")


def block_slots(weights: Mapping[str, float]) -> dict[str, int]:
    """Return how many of a block's 1,000 rows each component has: ⌊1,000·weight⌋, the rest by largest remainder, then
    name."""
    exact = {name: BLOCK_ROWS * Fraction(repr(weights[name])) for name in sorted(weights)}
    slots = {name: int(share) for name, share in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (slots[name] - exact[name], name))
    for name in by_remainder[: BLOCK_ROWS - sum(slots.values())]:
        slots[name] += 1
    return slots


class TrainingOrder:
    """The order of training for a mixture and a seed.

    Args:
        weights: of the components; they sum to 1.
        records: records of each component.
        seed: of the mixture and of the shuffling.
    """

    def __init__(self, weights: Mapping[str, float], records: Mapping[str, int], seed: int) -> None:
        self._slots = block_slots(weights)
        self._records = dict(records)
        self._mixture = KeyedHash(seed, "mixture")
        self._shuffle = KeyedHash(seed, "shuffle")
        self._block = lru_cache(maxsize=4)(self._make_block)
        self._permutation = lru_cache(maxsize=4 * len(self._slots) + 4)(self._make_permutation)
        empty = [name for name, slots in self._slots.items() if slots and not self._records.get(name)]
        if empty:
            raise ValueError(
                f"the components {', '.join(empty)} have a weight but no records; give them text or weight 0"
            )

    def place(self, position: int) -> Place:
        """Return the record of global row `position` (step · rows a batch + row)."""
        ((component, (_, records)),) = self.places(position, 1).items()
        return Place(component, int(records[0]))

    def places(self, start: int, count: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return the records of `count` global rows from `start`, as {component: (rows from 0, record of each)}."""
        positions = np.arange(start, start + count)
        blocks, offsets = np.divmod(positions, BLOCK_ROWS)
        owners, earlier = np.empty((2, count), np.int64)
        for block in range(start // BLOCK_ROWS, (start + count - 1) // BLOCK_ROWS + 1):
            here = blocks == block
            owners[here], earlier[here] = self._block(block)[:, offsets[here]]
        found = {}
        for number, component in enumerate(sorted(self._slots)):
            rows = np.flatnonzero(owners == number)
            if len(rows):
                reads = blocks[rows] * self._slots[component] + earlier[rows]
                found[component] = (rows, self._shuffled(component, reads))
        return found

    def _shuffled(self, component: str, reads: np.ndarray) -> np.ndarray:
        """Return the records that are the component's n-th, n each of `reads`."""
        epochs, within = np.divmod(reads, self._records[component])
        if epochs[0] == epochs[-1]:  # reads ascend
            return self._permutation(component, int(epochs[0]))(within)
        records = np.empty(len(reads), np.int64)
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            records[here] = self._permutation(component, epoch)(within[here])
        return records

    def _make_block(self, block: int) -> np.ndarray:
        """Return, of each of a block's rows, its component's number in order of name, and how many of it come before.

        Slots are numbered through the components in order of name and sorted by hash(seed, `mixture`, block slot).
        """
        names = sorted(self._slots)
        owners = np.repeat(np.arange(len(names)), [self._slots[name] for name in names])
        draws = self._mixture.many(_number(block) + _number(slot) for slot in range(BLOCK_ROWS))
        rows = owners[np.argsort(np.array(draws, np.uint64), kind="stable")]
        earlier = np.empty(BLOCK_ROWS, np.int64)
        for number in range(len(names)):
            mine = rows == number
            earlier[mine] = np.arange(np.count_nonzero(mine))
        return np.stack([rows, earlier])

    def _make_permutation(self, component: str, epoch: int) -> Permutation:
        return Permutation(self._records[component], self._shuffle, component, epoch)
