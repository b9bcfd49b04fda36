"""Words of packed UTF-8 texts as 64-bit hashes, without making a Python string.

A word is a run of letters, marks, digits and underscores (regular expression `\\w`, and marks), lower-cased character
by character. In scripts that are written without spaces (Han, kana, Yi, Thai, Lao, Burmese, Khmer and their kin) every
character is a word of its own, so that shingles of words become shingles of characters there.

In: texts joined without separators as bytes, and their offsets. Out: one uint64 a word, and offsets of each text's
words. The hash of a word is the polynomial sum of its characters times powers of an odd base, modulo 2^64, mixed: so
all the words of a batch come from one cumulative sum. It doesn't depend on where the word stands.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipelines.near_duplicates.mixing import Words, mix64

Offsets = NDArray[np.int64]

PIECE_BYTES = 1 << 16
"""Bytes hashed at a time, so that the tables of powers stay in the cache; only longer documents are cut."""

_BASE = 0x9E3779B97F4A7C15
_TABLE_SIZE = 0x20000  # the planes that hold all cased letters; beyond them are ideographs
_SEPARATOR, _WORD, _ALONE = 0, 1, 2
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19FF),  # Tai Le, New Tai Lue, Khmer symbols
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x3005, 0x3007),  # Han iteration mark, closing mark, zero
    (0x3040, 0x30FF),  # kana
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xA000, 0xA4CF),  # Yi
    (0xA9E0, 0xA9FF),  # Burmese
    (0xAA60, 0xAADF),  # Burmese, Tai Viet
    (0xF900, 0xFAFF),  # Han
    (0xFF66, 0xFF9F),  # half-width kana
    (0x1AFF0, 0x1B16F),  # kana
)


def _kind(code_point: int) -> int:
    character = chr(code_point)
    if not (character.isalnum() or character == "_" or unicodedata.category(character).startswith("M")):
        return _SEPARATOR
    return _ALONE if any(first <= code_point <= last for first, last in _UNSPACED) else _WORD


def _folded(code_point: int) -> int:
    lower = chr(code_point).lower()
    return ord(lower) if len(lower) == 1 else code_point


@cache
def _character_tables() -> tuple[NDArray[np.uint8], Words]:
    """Return kind and lower-cased code point of each code point below `_TABLE_SIZE`."""
    kinds = np.fromiter(map(_kind, range(_TABLE_SIZE)), np.uint8, _TABLE_SIZE)
    folded = np.fromiter(map(_folded, range(_TABLE_SIZE)), np.uint64, _TABLE_SIZE)
    return kinds, folded


@cache
def _ascii_tables() -> tuple[NDArray[np.bool_], Words]:
    """Return, for each byte: is it part of a word, and its value (bytes of longer characters: 0, set apart)."""
    in_word = np.zeros(256, np.bool_)
    values = np.zeros(256, np.uint64)
    for code_point in range(128):
        if _kind(code_point):
            in_word[code_point], values[code_point] = True, _folded(code_point)
    return in_word, values


@cache
def _powers() -> tuple[Words, Words]:
    """Return the powers of the base and of its inverse modulo 2^64, for every position in a piece."""
    tables = []
    for base in (_BASE, pow(_BASE, -1, 1 << 64)):
        factors = np.full(PIECE_BYTES + 1, base, np.uint64)
        factors[0] = 1
        tables.append(np.cumprod(factors, dtype=np.uint64))
    return tables[0], tables[1]


@dataclass(frozen=True)
class WordBatch:
    """The words of several texts, in order.

    Attributes:
        hashes: (words,) uint64.
        starts: (words,) int64, the first byte of each word.
        ends: (words,) int64, the byte after its last.
        offsets: (texts + 1,) int64, the first word of each text and the end of the last.
        text_starts: (texts,) int64, the first byte of each text.
    """

    hashes: Words
    starts: Offsets
    ends: Offsets
    offsets: Offsets
    text_starts: Offsets


def find_words(data: NDArray[np.uint8], offsets: Offsets) -> WordBatch:
    """Find and hash the words of a batch of texts.

    Args:
        data: UTF-8 bytes of all texts.
        offsets: (texts + 1,), the first byte of each text and the end of the last.
    """
    hashes: list[Words] = [np.empty(0, np.uint64)]
    starts: list[Offsets] = [np.empty(0, np.int64)]
    ends: list[Offsets] = [np.empty(0, np.int64)]
    for start, end in _pieces(data, offsets):
        inside = offsets[(offsets > start) & (offsets < end)] - start
        piece_hashes, piece_starts, piece_ends = _hash_piece(data[start:end], inside)
        hashes.append(piece_hashes)
        starts.append(piece_starts + start)
        ends.append(piece_ends + start)
    found = np.concatenate(starts)
    word_offsets = np.searchsorted(found, offsets)
    return WordBatch(np.concatenate(hashes), found, np.concatenate(ends), word_offsets, offsets[:-1])


def word_hashes(data: NDArray[np.uint8], offsets: Offsets) -> tuple[Words, Offsets]:
    """Return the hashes of the words of a batch of texts (see `find_words`), and the offsets of each text's words."""
    words = find_words(data, offsets)
    return words.hashes, words.offsets


def _pieces(data: NDArray[np.uint8], offsets: Offsets) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of pieces of at most PIECE_BYTES: whole texts, or parts of one long text.

    Where a long text is cut depends on its own bytes alone, so that its hashes do not depend on its neighbors.
    """
    limits = offsets.tolist()
    start = limits[0]
    for text_start, text_end in pairwise(limits):
        if text_end - start > PIECE_BYTES:
            if text_start > start:
                yield start, text_start
            start = text_start
            while text_end - start > PIECE_BYTES:
                cut = _cut(data[start : start + PIECE_BYTES])
                yield start, start + cut
                start += cut
    if limits[-1] > start:
        yield start, limits[-1]


def _cut(window: NDArray[np.uint8]) -> int:
    """Return where to cut a window of a long text: after its last blank, else before its last character."""
    blanks = np.flatnonzero((window == 0x20) | (window == 0x0A))
    if len(blanks):
        return int(blanks[-1]) + 1
    return int(np.flatnonzero((window & 0xC0) != 0x80)[-1]) or len(window)


def _hash_piece(data: NDArray[np.uint8], text_starts: Offsets) -> tuple[Words, Offsets, Offsets]:
    """Return hash, first byte and end of each word of one piece; no word runs over a text's start."""
    in_word_table, value_table = _ascii_tables()
    in_word, values = in_word_table[data], value_table[data]
    cuts = text_starts
    if data.max() >= 0x80:
        cuts = np.concatenate((text_starts, _set_long_characters(data, in_word, values)))
    size = len(data)
    edge = np.empty(size + 1, np.bool_)
    edge[0] = edge[size] = True
    np.not_equal(in_word[1:], in_word[:-1], out=edge[1:size])
    edge[cuts] = True
    bounds = np.flatnonzero(edge)
    begins = in_word[bounds[:-1]]
    starts, ends = bounds[:-1][begins], bounds[1:][begins]
    powers, inverses = _powers()
    values *= powers[:size]
    sums = np.zeros(size + 1, np.uint64)
    np.cumsum(values, out=sums[1:])
    return mix64((sums[ends] - sums[starts]) * inverses[starts]), starts, ends


def _set_long_characters(data: NDArray[np.uint8], in_word: NDArray[np.bool_], values: Words) -> Offsets:
    """Set `in_word` and `values` at characters of two to four bytes; return where words are cut around lone ones.

    The first byte carries the whole character's value, the others 0.
    """
    kinds, folded = _character_tables()
    cuts = []
    for length, first, last, mask in ((2, 0xC0, 0xDF, 0x1F), (3, 0xE0, 0xEF, 0x0F), (4, 0xF0, 0xF7, 0x07)):
        places = np.flatnonzero((data >= first) & (data <= last))
        if not len(places):
            continue
        code_points = (data[places] & mask).astype(np.int64)
        for step in range(1, length):
            code_points = (code_points << 6) | (data[places + step] & 0x3F)
        tabled = np.minimum(code_points, _TABLE_SIZE - 1)
        beyond = code_points >= _TABLE_SIZE
        kind = np.where(beyond, _ALONE, kinds[tabled])
        values[places] = np.where(beyond, code_points.astype(np.uint64), folded[tabled])
        for step in range(length):
            in_word[places + step] = kind != _SEPARATOR
        alone = places[kind == _ALONE]
        cuts += [alone, alone + length]
    return np.concatenate(cuts) if cuts else np.empty(0, np.int64)
