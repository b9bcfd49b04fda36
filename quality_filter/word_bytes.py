"""Where the words of a batch lie: texts in, one array of lower-cased bytes with the edges of its words out.

Text is lower-cased as `str.lower` does; words are what stands between blanks (any byte up to U+0020, and Unicode's
space separators, so that a site's habit of writing U+00A0 does not become a feature). Each document ends with the
word `</s>`, as each line does in fastText. Words that fastText would take for markup of its own (`</s>`,
`__label__…`) are left out.

Texts are Python strings, or an Arrow array of strings, whose bytes are then read where they lie. n words in the batch,
D documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

END_OF_LINE = "</s>"
LABEL_PREFIX = "__label__"
KEY_BYTES = 8

Texts: TypeAlias = Sequence[str] | pa.Array
Bytes: TypeAlias = bytes | memoryview

_BLOCK_BYTES = 1 << 15
_BLANK = 0x20
_END = f" {END_OF_LINE} ".encode()
# First bytes of UTF-8: 0xC2 begins U+0080 to U+00BF, 0xC3 U+00C0 to U+00FF; 0xE2 0x80 to 0xE2 0x83 U+2000 to U+20FF.
_FIRST_LEAD, _LATIN_1_LEAD, _PUNCTUATION_LEAD = 0xC2, 0xC3, 0xE2
# The space separators (Unicode category Zs) beyond ASCII, by their first byte.
_WIDE = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_CONTINUATION = 0x3F
# Of each first byte: the number of bytes, and for each twelve bits that the bytes after it say whether it is a space.
_WIDE_SPACES: dict[int, tuple[int, np.ndarray]] = {}
for _space in _WIDE:
    _encoded = _space.encode()
    _size, _is_space = _WIDE_SPACES.setdefault(_encoded[0], (len(_encoded), np.zeros(1 << 12, bool)))
    _is_space[ord(_space) & ((1 << 6 * (_size - 1)) - 1)] = True
# What is left of a word's first eight bytes when it has so many; a longer word has no key.
_KEY_MASKS = np.array([*((1 << 8 * length) - 1 for length in range(KEY_BYTES + 1)), 0], np.uint64)


def _key(word: str) -> np.uint64:
    return np.uint64(int.from_bytes(word.encode()[:KEY_BYTES], "little"))


class WordBytes(NamedTuple):
    """The words of a batch, not hashed yet.

    Attributes:
        data: uint8, the bytes of all words with blanks between them.
        starts, stops: (n,) int64; a word is data[start:stop].
        keys: (n,) uint64; the bytes of a word of up to eight, the first one lowest; 0 for a longer one.
        bounds: (D + 1,) int64; document d has the words bounds[d] to bounds[d + 1], the last one `</s>`.
    """

    data: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    keys: np.ndarray
    bounds: np.ndarray

    def words(self) -> list[str]:
        """Return the words as strings."""
        text = self.data.tobytes()
        return [text[start:stop].decode() for start, stop in zip(self.starts, self.stops, strict=True)]


def find_words(encoded: list[Bytes]) -> WordBytes:
    """Return the words of every text."""
    data, ends = _pack(encoded)
    starts, stops = word_edges(data)
    bounds = np.zeros(len(ends) + 1, np.int64)
    bounds[1:] = np.searchsorted(starts, ends)
    heads = _heads(data, starts)
    keys = np.take(_KEY_MASKS, stops - starts, mode="clip")  # the last mask is that of longer words
    keys &= heads
    return _without_markup(WordBytes(data, starts, stops, keys, bounds), heads)


def encoded_texts(texts: Texts) -> list[Bytes]:
    """Return each text in UTF-8; those of an Arrow array are not copied, and null is an empty text."""
    if not isinstance(texts, pa.Array):
        return [text.encode() for text in texts]
    array = texts.cast(pa.large_string())
    _, offsets, data = array.buffers()
    if len(array) == 0 or data is None:
        return [b""] * len(array)
    places = np.frombuffer(offsets, np.int64, len(array) + 1, array.offset * 8).tolist()
    view = memoryview(data)
    return [view[start:stop] for start, stop in pairwise(places)]


def word_edges(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where words start and stop; `data` begins and ends with a blank."""
    in_word = data > _BLANK
    is_edge = np.zeros(len(data), bool)
    np.not_equal(in_word[1:], in_word[:-1], out=is_edge[1:])
    edges = np.flatnonzero(is_edge)
    return edges[0::2].copy(), edges[1::2]  # gathering by the starts is much slower with steps between


def _heads(data: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the first eight bytes from the start of each word, the first one lowest: (n,) uint64.

    numpy reads numbers wherever they begin, but first makes a copy, eight times as large; a block's stays in the cache.
    """
    eight = np.ndarray((len(data) - KEY_BYTES + 1,), "<u8", data, strides=(1,))
    heads = np.empty(len(starts), np.uint64)
    blocks = range(0, len(data), _BLOCK_BYTES)
    edges = [*np.searchsorted(starts, blocks).tolist(), len(starts)]
    for block, (first, end) in zip(blocks, pairwise(edges), strict=True):
        places = starts[first:end] - block
        np.take(eight[block : block + _BLOCK_BYTES], places, out=heads[first:end], mode="clip")
    return heads


def _without_markup(words: WordBytes, heads: np.ndarray) -> WordBytes:
    """Leave out the words that fastText takes for its own, but for the `</s>` that ends each text."""
    ends = words.keys == _key(END_OF_LINE)
    labels = np.flatnonzero(heads == _key(LABEL_PREFIX))
    if np.count_nonzero(ends) == len(words.bounds) - 1 and not len(labels):
        return words
    stays = ~ends
    stays[words.bounds[1:] - 1] = True
    stays[labels[words.data[words.starts[labels] + KEY_BYTES] == ord(LABEL_PREFIX[KEY_BYTES])]] = False
    before = np.concatenate([[0], np.cumsum(stays)])
    return WordBytes(
        words.data, words.starts[stays], words.stops[stays], words.keys[stays], before[words.bounds].astype(np.int64)
    )


def _pack(encoded: list[Bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Return all texts, lower-cased, as one array of bytes between blanks, and where each one ends in it.

    Only texts with letters beyond Latin-1 go through `str.lower`, which is slow beyond ASCII.
    """
    data, ends = _join(encoded)
    leads = np.flatnonzero(data >= _FIRST_LEAD)
    first = data[leads]
    _lower_latin_1(data, leads[first == _LATIN_1_LEAD] + 1)
    others = leads[(first > _LATIN_1_LEAD) & ~((first == _PUNCTUATION_LEAD) & (data[leads + 1] < 0x84))]
    _blank_wide_spaces(data, leads, first)
    if len(others):
        numbers = np.unique(np.searchsorted(ends, others, side="right")).tolist()
        return _lower_fully(data, ends, numbers)
    return data, ends


def _join(encoded: Sequence[Bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Join texts with the ASCII letters in lower case; each one is followed by `</s>`, the last by room for a key."""
    first = [b" " + encoded[0]] if encoded else []
    data = np.frombuffer(bytearray(_END).join((*first, *encoded[1:], b" " * KEY_BYTES)), np.uint8)
    capitals = (data - np.uint8(ord("A")) < 26).view(np.uint8)
    capitals *= np.uint8(0x20)
    data |= capitals
    ends = np.cumsum([len(text) + len(_END) for text in encoded], dtype=np.int64) + 1
    return data, ends


def _lower_fully(data: np.ndarray, ends: np.ndarray, numbers: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Put the texts of these numbers through `str.lower`, in place unless one changes its length."""
    starts = np.concatenate([[1], ends[:-1]]).tolist()
    stops = (ends - len(_END)).tolist()
    resized: dict[int, bytes] = {}
    for number in numbers:
        text = data[starts[number] : stops[number]]
        lowered = text.tobytes().decode().lower().encode()
        if len(lowered) == len(text):
            text[:] = np.frombuffer(lowered, np.uint8)
        else:
            resized[number] = lowered
    if not resized:
        return data, ends
    edges = enumerate(zip(starts, stops, strict=True))
    return _join([resized.get(number, data[start:stop].tobytes()) for number, (start, stop) in edges])


def _lower_latin_1(data: np.ndarray, places: np.ndarray) -> None:
    """Lower À to Þ in place, by their second bytes: U+00C0 to U+00DE but for U+00D7, the multiplication sign."""
    second = data[places]
    data[places] = np.where((second <= 0x9E) & (second != 0x97), second + 0x20, second)


def _blank_wide_spaces(data: np.ndarray, leads: np.ndarray, first: np.ndarray) -> None:
    """Overwrite, in place, the space separators beyond ASCII with blanks."""
    for lead, (size, is_space) in _WIDE_SPACES.items():
        places = leads[first == lead]
        if len(places) == 0:
            continue
        code = data[places + 1] & _CONTINUATION
        if size == 3:
            code = code.astype(np.uint16) << 6 | data[places + 2] & _CONTINUATION
        spaces = places[is_space[code]]
        data[spaces[:, None] + np.arange(size)] = _BLANK
