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

from pipelines.store.hashing import KeyedHash

BLOCK_ROWS = 1000
FEISTEL_ROUNDS = 6


class Place(NamedTuple):
    """A record: its component and its number among the component's records."""

    component: str
    record: int


class Permutation:
    """A permutation of 0 … size − 1 that is computed entry by entry, without a table.

    A Feistel network of six rounds permutes the numbers of 2·h bits, h the least with 4^h ≥ size; a number that comes
    out at `size` or more is put in again until it does not (at most four times on average). The round function is the
    low h bits of hash(seed, `shuffle`, name NUL epoch round right-half).
    """

    def __init__(self, size: int, hash_function: KeyedHash, name: str, epoch: int) -> None:
        self._size = size
        self._bits = max(1, ((size - 1).bit_length() + 1) // 2)
        self._hash = hash_function
        self._prefix = name.encode() + b"\0" + _number(epoch)

    def __call__(self, position: int) -> int:
        """Return the number at `position`."""
        value = self._network(position)
        while value >= self._size:
            value = self._network(value)
        return value

    def _network(self, value: int) -> int:
        mask = (1 << self._bits) - 1
        left, right = value >> self._bits, value & mask
        for number in range(FEISTEL_ROUNDS):
            drawn = self._hash(self._prefix + _number(number) + _number(right)) & mask
            left, right = right, left ^ drawn
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
        block, offset = divmod(position, BLOCK_ROWS)
        component, rank = self._block(block)[offset]
        epoch, within = divmod(block * self._slots[component] + rank, self._records[component])
        return Place(component, self._permutation(component, epoch)(within))

    def _make_block(self, block: int) -> list[tuple[str, int]]:
        """Return (component, how many of it come before in the block) of each of a block's rows.

        Slots are numbered through the components in order of name and sorted by hash(seed, `mixture`, block slot).
        """
        owners = [name for name in sorted(self._slots) for _ in range(self._slots[name])]
        order = sorted(range(BLOCK_ROWS), key=lambda slot: (self._mixture(_number(block) + _number(slot)), slot))
        seen = dict.fromkeys(self._slots, 0)
        rows = []
        for slot in order:
            component = owners[slot]
            rows.append((component, seen[component]))
            seen[component] += 1
        return rows

    def _make_permutation(self, component: str, epoch: int) -> Permutation:
        return Permutation(self._records[component], self._shuffle, component, epoch)
