"""From words to weights for a whole batch: a hash table by word hash, and a memo of the short words met last.

An entry is a uint64: the word's hash in the upper half; in the lower one the weight in 31 bits and, lowest, a flag that
the word is known.

The table has open addressing with linear probing: slot = hash mod size, then the next one; size is a power of two, at
least four times the words. Most words of a text are short and were met shortly before, so a memo by their bytes
spares them the hashing and the table. It changes no result.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np

from quality_filter.features import fnv1a
from quality_filter.word_bytes import WordBytes

LARGEST_WEIGHT = (1 << 30) - 1

_TAKEN = np.uint64(1)
_HASH_SHIFT = np.uint64(32)
_MEMO_BITS = 18
_GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)
# Eight bytes 0xFF are no UTF-8, so they are the key of no word.
_NO_KEY = 2**64 - 1


class Weighted(NamedTuple):
    """Words of a batch.

    Attributes:
        hashes: (n,) uint32.
        halves: (n,) int32, the lower halves of their entries: twice the weight, and one more where the word is known.
    """

    hashes: np.ndarray
    halves: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        """Return the weight of each word, int32, 0 where it is unknown."""
        return self.halves >> 1

    @property
    def known(self) -> np.ndarray:
        """Return whether each word is known, int32, 0 or 1."""
        return self.halves & 1


class _Memo(threading.local):
    """The short words met last, by their bytes; what a thread keeps for itself.

    Attributes:
        slots: (2^_MEMO_BITS, 2) uint64; a word's key and its entry, so that both are read at once.
    """

    def __init__(self) -> None:
        self.slots = np.full((1 << _MEMO_BITS, 2), _NO_KEY, np.uint64)
        self._shift = np.uint64(64 - _MEMO_BITS)

    def recall(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the entry of each word, any where it is not remembered, and the numbers of the words that are not."""
        slots = np.take(self.slots, self._places(keys), axis=0, mode="clip")
        return slots[:, 1], np.flatnonzero(slots[:, 0] != keys)

    def put(self, keys: np.ndarray, entries: np.ndarray) -> None:
        """Remember words that have a key; of several that want one slot, the last one stays."""
        short = np.flatnonzero(keys != 0)
        keys = keys[short]
        self.slots[self._places(keys)] = np.stack([keys, entries[short]], axis=1)

    def _places(self, keys: np.ndarray) -> np.ndarray:
        places = keys * _GOLDEN_RATIO
        places >>= self._shift
        return places.view(np.int64)


def _unpack(entries: np.ndarray) -> Weighted:
    return Weighted((entries >> _HASH_SHIFT).astype(np.uint32), entries.astype(np.uint32).view(np.int32))


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
        self._memo = _Memo()

    def look_up(self, hashes: np.ndarray) -> Weighted:
        """Return the weight of each hash."""
        return _unpack(self._find(hashes))

    def look_up_words(self, words: WordBytes) -> Weighted:
        """Return hash and weight of each word."""
        entries, new = self._memo.recall(words.keys)
        if len(new):
            entries[new] = found = self._find(fnv1a(words.data, words.starts[new], words.stops[new]))
            self._memo.put(words.keys[new], found)
        return _unpack(entries)

    def _find(self, hashes: np.ndarray) -> np.ndarray:
        """Return the entry of each hash, one with weight 0 and no flag where the word is unknown."""
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
        unknown = unknown[~known[unknown]]
        entries[unknown] = hashes[unknown].astype(np.uint64) << _HASH_SHIFT
        return entries


def _holds(entries: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """Say of each entry whether it is taken by this hash."""
    return ((entries >> _HASH_SHIFT).astype(np.uint32) == hashes) & (entries != 0)
