"""Where n-grams of evaluation examples stand in texts.

In: the words of texts. Out: (word, n-gram) pairs. A text's words are hashed by anchor width and looked up in a bit
table, then among the sorted anchors; of those that are there every word's hash is compared. So a match is missed never,
and false only if two different words have one 64-bit hash.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.contamination.ngrams import ARRAYS, anchor_hashes, read_header, same_words
from pipelines.near_duplicates.mixing import Words
from pipelines.near_duplicates.words import Offsets, WordBatch
from pipelines.store.files import is_local, join, local_path, read_bytes, size_of

PAIRS = 1 << 20
"""Pairs of a place in a text and an n-gram that are compared at a time."""

_FILTER_BITS = (16, 31)


@dataclass(frozen=True)
class Matches:
    """N-grams found in texts, in order of (word, n-gram).

    Attributes:
        words: (matches,) int64, the word of the batch at which one begins.
        ngrams: (matches,) int64, the n-gram's number.
        lengths: (matches,) int64, its words.
    """

    words: Offsets
    ngrams: Offsets
    lengths: Offsets

    def of(self, chosen: NDArray[np.bool_], first_word: int) -> Matches:
        """Return some of the matches, their words counted from `first_word`."""
        return Matches(self.words[chosen] - first_word, self.ngrams[chosen], self.lengths[chosen])


class _BitTable:
    """A bit for each value of some bits of a hash: those that `skip` of the first leave.

    Args:
        hashes: whose bits are set.
        bits: looked at.
        skip: of the hashes' first bits.
    """

    def __init__(self, hashes: Words, bits: int, skip: int) -> None:
        self._left, self._right = np.uint64(skip), np.uint64(64 - bits)
        places = np.sort((hashes << self._left) >> self._right)
        bytes_, firsts = np.unique(places >> np.uint64(3), return_index=True)
        flags = np.left_shift(1, (places & np.uint64(7)).astype(np.uint8), dtype=np.uint8)
        self.table = np.zeros(1 << (bits - 3), np.uint8)
        self.table[bytes_.astype(np.int64)] = np.bitwise_or.reduceat(flags, firsts)

    def has(self, hashes: Words) -> NDArray[np.bool_]:
        """Tell of each hash whether its bit is set."""
        places = (hashes << self._left) >> self._right
        flags = self.table[(places >> np.uint64(3)).view(np.int64)]
        return ((flags >> (places.astype(np.uint8) & 7)) & 1).view(np.bool_)


class _Filter:
    """Two bit tables over different bits of some hashes: what either does not have is not among them."""

    def __init__(self, hashes: Words) -> None:
        bits = min(max((16 * len(hashes)).bit_length(), _FILTER_BITS[0]), _FILTER_BITS[1])
        self._tables = [_BitTable(hashes, bits, skip) for skip in (0, bits)]
        self.nbytes = sum(table.table.nbytes for table in self._tables)

    def candidates(self, hashes: Words) -> Offsets:
        """Return where hashes may be among those of the table."""
        places = np.flatnonzero(self._tables[0].has(hashes))
        return places[self._tables[1].has(hashes[places])]


class NgramSet:
    """The n-grams of evaluation sets, opened from a folder that NgramWriter wrote.

    Args:
        url: the folder.
        frequent: numbers of n-grams that count as none.
    """

    def __init__(self, url: str, frequent: Offsets | None = None) -> None:
        header = read_header(read_bytes(join(url, "ngrams", "header.json")))
        self.tasks: list[dict[str, Any]] = header["tasks"]
        arrays = {name: _mapped(join(url, "ngrams", f"{name}.bin"), dtype) for name, dtype in ARRAYS.items()}
        self._words, self._anchors = arrays["words"], arrays["anchors"]
        self._starts, self._lengths = arrays["starts"], arrays["lengths"]
        self._bounds, self._postings = arrays["bounds"], arrays["postings"]
        self._counted = np.ones(len(self._starts), np.bool_)
        self._counted[frequent if frequent is not None else []] = False
        self._widths: dict[int, tuple[int, Words, _Filter]] = {}
        first = 0
        for width in sorted(header["widths"], reverse=True):
            anchors = self._anchors[first : first + header["widths"][width]]
            if len(anchors):
                self._widths[width] = first, anchors, _Filter(anchors)
            first += header["widths"][width]

    def __len__(self) -> int:
        """Return the number of distinct n-grams."""
        return len(self._starts)

    def memory(self) -> dict[str, int]:
        """Return the bytes of the files that are mapped, and those that each process holds."""
        arrays = (self._words, self._anchors, self._starts, self._lengths, self._bounds, self._postings)
        filters = sum(table.nbytes for _, _, table in self._widths.values())
        return {"mapped": sum(array.nbytes for array in arrays), "held": filters + self._counted.nbytes}

    def find(self, words: WordBatch) -> Matches:
        """Find n-grams in texts; none runs over the end of a text."""
        found = [
            self._compared(words, places, ngrams)
            for width, hashes in anchor_hashes(words.hashes)
            if width in self._widths
            for places, ngrams in self._candidates(width, hashes)
        ]
        places = np.concatenate([np.empty(0, np.int64), *(pair[0] for pair in found)])
        ngrams = np.concatenate([np.empty(0, np.int64), *(pair[1] for pair in found)])
        order = np.lexsort((ngrams, places))
        places, ngrams = places[order], ngrams[order]
        return Matches(places, ngrams, self._lengths[ngrams].astype(np.int64))

    def _candidates(self, width: int, hashes: Words) -> Iterator[tuple[Offsets, Offsets]]:
        """Yield pairs (word, n-gram) of equal anchors, about PAIRS at a time."""
        first, anchors, table = self._widths[width]
        places = table.candidates(hashes)
        low = np.searchsorted(anchors, hashes[places], "left")
        there = anchors[np.minimum(low, len(anchors) - 1)] == hashes[places]
        places, low = places[there], low[there]
        counts = np.searchsorted(anchors, hashes[places], "right") - low
        chunk = (np.cumsum(counts) - counts) // PAIRS
        for begin, end in _runs(chunk):
            sizes = counts[begin:end]
            within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            yield np.repeat(places[begin:end], sizes), first + np.repeat(low[begin:end], sizes) + within

    def _compared(self, words: WordBatch, places: Offsets, ngrams: Offsets) -> tuple[Offsets, Offsets]:
        """Keep the pairs whose words are all equal and in one text."""
        lengths = self._lengths[ngrams].astype(np.int64)
        text_ends = words.offsets[np.searchsorted(words.offsets, places, "right")]
        fits = (places + lengths <= text_ends) & self._counted[ngrams]
        places, ngrams, lengths = places[fits], ngrams[fits], lengths[fits]
        equal = same_words(words.hashes, places, self._words, self._starts[ngrams], lengths)
        return places[equal], ngrams[equal]

    def examples_of(self, ngrams: Offsets) -> tuple[Offsets, NDArray[np.void]]:
        """Return the postings of n-grams, and of which of `ngrams` (its place among them) each is."""
        counts = self._bounds[ngrams + 1] - self._bounds[ngrams]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = np.repeat(np.arange(len(ngrams)), counts)
        return rows, self._postings[np.repeat(self._bounds[ngrams], counts) + within]


def _runs(values: Offsets) -> Iterator[tuple[int, int]]:
    """Yield (begin, end) of the runs of equal values."""
    edges = np.flatnonzero(np.diff(values)) + 1
    limits = [0, *edges.tolist(), len(values)]
    yield from ((begin, end) for begin, end in pairwise(limits) if end > begin)


def _mapped(url: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the array of a file: mapped where the file is on this machine, so that processes share it."""
    if is_local(url) and size_of(url):
        return np.memmap(local_path(url), dtype, "r").view(np.ndarray)
    return np.frombuffer(read_bytes(url), dtype)


def task_of(tasks: list[dict[str, Any]], examples: NDArray[Any]) -> NDArray[np.int64]:
    """Return the number of the task of each example."""
    firsts = np.array([task["first"] for task in tasks], np.int64)
    return np.searchsorted(firsts, examples, "right") - 1
