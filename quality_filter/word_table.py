"""Hash table from word hashes to weights, looked up for a whole batch at once.

Open addressing with linear probing: slot = hash mod size, then the next one; size is a power of two, at least four
times the words. An entry is a uint64: the hash in the upper half, in the lower one the weight in 31 bits and, lowest, a
flag that the slot is taken.
"""

from __future__ import annotations

import numpy as np

LARGEST_WEIGHT = (1 << 30) - 1

_TAKEN = np.uint64(1)
_HASH_SHIFT = np.uint64(32)


class WordTable:
    """Weights (int32, of size up to LARGEST_WEIGHT) by word hash (uint32)."""

    def __init__(self, hashes: np.ndarray, weights: np.ndarray) -> None:
        """Build the table; `hashes` are distinct, and the first are found fastest."""
        size = 1 << max(4, int(4 * max(1, len(hashes)) - 1).bit_length())
        self._mask = np.uint32(size - 1)
        self._entries = np.zeros(size, np.uint64)
        doubled = (weights.astype(np.int32) * 2).view(np.uint32).astype(np.uint64)
        entries = hashes.astype(np.uint64) << _HASH_SHIFT | doubled | _TAKEN
        slots = (hashes & self._mask).astype(np.int64)
        while len(entries):
            free = np.flatnonzero(self._entries[slots] == 0)[::-1]
            # Of several entries that want one slot, numpy keeps the last it writes; the others find it taken and go on.
            self._entries[slots[free]] = entries[free]
            left = self._entries[slots] != entries
            entries, slots = entries[left], (slots[left] + 1) & int(self._mask)

    def look_up(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the weight of each hash (int32, 0 where it is unknown) and whether it is known (bool)."""
        slots = (hashes & self._mask).astype(np.int64)
        entries = self._entries[slots]
        known = _holds(entries, hashes)
        unknown = np.flatnonzero(~known)
        pending = unknown[entries[unknown] != 0]
        while len(pending):
            slots[pending] = (slots[pending] + 1) & int(self._mask)
            entries[pending] = found = self._entries[slots[pending]]
            match = _holds(found, hashes[pending])
            known[pending] = match
            pending = pending[~match & (found != 0)]
        weights = entries.astype(np.uint32).view(np.int32)
        weights >>= 1
        weights *= known
        return weights, known


def _holds(entries: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """Say of each entry whether it is taken by this hash."""
    return ((entries >> _HASH_SHIFT).astype(np.uint32) == hashes) & (entries != 0)
