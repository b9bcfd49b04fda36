"""The features fastText sees in a text, for a whole batch at once: strings in, hashes of words and word pairs out.

Text is lower-cased; words are what stands between blanks (any byte up to U+0020, and Unicode's space separators, so
that a site's habit of writing U+00A0 does not become a feature). Each document ends with the word `</s>`, as each line
does in fastText. A word's hash is 32-bit FNV-1a with fastText's sign extension of bytes from 128 up; the pair (a, b)
falls into bucket (a · 116049371 + b) mod buckets, with a and b sign-extended to 64 bits (fastText 0.9.3,
`Dictionary::hash`, `Dictionary::addWordNgrams`). Words that fastText would take for markup of its own (`</s>`,
`__label__…`) are left out.

n words in the batch, D documents.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

END_OF_LINE = "</s>"
LABEL_PREFIX = "__label__"

_FNV_OFFSET = 2166136261
_FNV_PRIME = 16777619
_PAIR_MULTIPLIER = 116049371
_BLANK = 0x20
_SEPARATOR = f" {END_OF_LINE} ".encode()
# First bytes of UTF-8: 0xC2 begins U+0080 to U+00BF, 0xC3 U+00C0 to U+00FF; 0xE2 0x80 to 0xE2 0x83 U+2000 to U+20FF.
_FIRST_LEAD, _LATIN_1_LEAD, _PUNCTUATION_LEAD = 0xC2, 0xC3, 0xE2
# The space separators (Unicode category Zs) beyond ASCII, by their first byte.
_WIDE = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_WIDE_SPACES: dict[int, list[bytes]] = {}
for _space in _WIDE:
    _WIDE_SPACES.setdefault(_space.encode()[0], []).append(_space.encode())
_LETTER = rf"[^\x00-\x20{_WIDE}]"
_RESERVED = re.compile(rf"(?<!{_LETTER})(?:{END_OF_LINE}(?!{_LETTER})|{LABEL_PREFIX}{_LETTER}*)")
# Below this many words at once, stepping through them in numpy costs more than finishing each one in Python.
_FEW_WORDS = 24
_LONG_WORD = 255


class Words(NamedTuple):
    """The words of a batch.

    Attributes:
        hashes: (n,) uint32, in order of text; each document's last one is that of `</s>`.
        bounds: (D + 1,) int64; document d has the words bounds[d] to bounds[d + 1].
    """

    hashes: np.ndarray
    bounds: np.ndarray


def hash_words(texts: Sequence[str]) -> Words:
    """Return the hashed words of every text."""
    data, ends = _pack(texts)
    starts, stops = _word_edges(data)
    bounds = np.zeros(len(texts) + 1, np.int64)
    bounds[1:] = np.searchsorted(starts, ends)
    return Words(_fnv1a(data, starts, stops), bounds)


def hash_vocabulary(words: Sequence[str]) -> np.ndarray:
    """Return the hash of each word of a vocabulary, `</s>` among them, as they are: (words,) uint32."""
    data = np.frombuffer(f" {' '.join(words)} ".encode(), np.uint8)
    return _fnv1a(data, *_word_edges(data))


def pair_buckets(hashes: np.ndarray, buckets: int) -> np.ndarray:
    """Return the bucket of each pair of neighbors: (n - 1,) int64; `buckets` is a power of two."""
    extended = hashes.view(np.int32).astype(np.int64).view(np.uint64)
    pairs = extended[:-1] * np.uint64(_PAIR_MULTIPLIER)
    pairs += extended[1:]
    pairs &= np.uint64(buckets - 1)
    return pairs.view(np.int64)


def normalize(text: str) -> str:
    """Return the one line that stands for a text in fastText's training file and in its `predict`."""
    return " ".join(split_words(text)[:-1])


def split_words(text: str) -> list[str]:
    """Return the words of one text as strings, `</s>` last; they agree with `hash_words([text])`."""
    data, _ = _pack([text])
    return [word for word in data.tobytes().decode().split(" ") if word]


def _pack(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return all texts, lower-cased, as one array of bytes between blanks, and where each one ends in it.

    Only texts with letters beyond Latin-1 or reserved words go through `str.lower`, which is slow beyond ASCII.
    """
    encoded = [text.encode() for text in texts]
    data, ends = _join(encoded)
    leads = np.flatnonzero(data >= _FIRST_LEAD)
    special = np.concatenate([_other_letters(data, leads), _reserved_words(data, len(texts))])
    if len(special):
        for number in np.unique(np.searchsorted(ends, special, side="right")).tolist():
            encoded[number] = _RESERVED.sub(" ", texts[number].lower()).encode()
        data, ends = _join(encoded)
        leads = np.flatnonzero(data >= _FIRST_LEAD)
    _lower_latin_1(data, leads)
    np.maximum(data, _BLANK, out=data)
    _blank_wide_spaces(data, leads)
    return data, ends


def _join(encoded: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Join texts with the ASCII letters in lower case; each one is followed by `</s>`."""
    packed = b"".join((b" ", *(part for text in encoded for part in (text, _SEPARATOR)))).lower()
    ends = np.cumsum([len(text) + len(_SEPARATOR) for text in encoded], dtype=np.int64) + 1
    return np.frombuffer(packed, np.uint8).copy(), ends


def _other_letters(data: np.ndarray, leads: np.ndarray) -> np.ndarray:
    """Return the places of characters that may have a lower case which `_lower_latin_1` does not know."""
    first = data[leads]
    punctuation = (first == _PUNCTUATION_LEAD) & (data[leads + 1] < 0x84)
    return leads[(first > _LATIN_1_LEAD) & ~punctuation]


def _lower_latin_1(data: np.ndarray, leads: np.ndarray) -> None:
    """Lower À to Þ in place: U+00C0 to U+00DE but for U+00D7, the multiplication sign."""
    seconds = leads[data[leads] == _LATIN_1_LEAD] + 1
    last = data[seconds]
    data[seconds] = np.where((last <= 0x9E) & (last != 0x97), last + 0x20, last)


def _reserved_words(data: np.ndarray, texts: int) -> np.ndarray:
    """Return the places of what looks like fastText's markup, beyond the `</s>` that ends each text."""
    ends = _occurrences(data, END_OF_LINE.encode())
    labels = _occurrences(data, LABEL_PREFIX.encode())
    return np.concatenate([labels, ends]) if len(ends) > texts else labels


def _occurrences(data: np.ndarray, sequence: bytes) -> np.ndarray:
    places = np.flatnonzero(data[: max(0, len(data) - len(sequence) + 1)] == sequence[0])
    for offset, byte in enumerate(sequence[1:], 1):
        places = places[data[places + offset] == byte]
    return places


def _blank_wide_spaces(data: np.ndarray, leads: np.ndarray) -> None:
    """Overwrite, in place, the space separators beyond ASCII with blanks."""
    first = data[leads]
    for lead, spaces in _WIDE_SPACES.items():
        places = leads[first == lead]
        if len(places) == 0:
            continue
        for space in spaces:
            matches = places
            for offset, byte in enumerate(space[1:], 1):
                matches = matches[data[matches + offset] == byte]
            data[matches[:, None] + np.arange(len(space))] = _BLANK


def _word_edges(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where words start and stop; `data` begins and ends with a blank."""
    in_word = data > _BLANK
    edges = np.flatnonzero(in_word[1:] != in_word[:-1])
    edges += 1
    return edges[0::2], edges[1::2]


def _fnv1a(data: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Hash every word, one byte position of all words at a time; longest words first, so the rest is a prefix."""
    signed = data.view(np.int8)
    lengths = np.minimum(stops - starts, _LONG_WORD).astype(np.uint8)
    order = np.argsort(_LONG_WORD - lengths, kind="stable")
    longer_than = len(lengths) - np.cumsum(np.bincount(lengths, minlength=_LONG_WORD + 1))
    positions = starts[order]
    state = np.full(len(order), _FNV_OFFSET, np.uint32)
    for step in range(_LONG_WORD):
        active = int(longer_than[step])
        if active < _FEW_WORDS:
            _finish(data, stops, order[:active], positions + step, state)
            break
        state[:active] ^= signed[step:][positions[:active]].astype(np.uint32)
        state[:active] *= np.uint32(_FNV_PRIME)
    else:
        _finish(data, stops, order[: int(longer_than[_LONG_WORD - 1])], positions + _LONG_WORD, state)
    hashes = np.empty_like(state)
    hashes[order] = state
    return hashes


def _finish(data: np.ndarray, stops: np.ndarray, words: np.ndarray, positions: np.ndarray, state: np.ndarray) -> None:
    """Hash the rest of the few longest words, one at a time."""
    for number, word in enumerate(words.tolist()):
        value = int(state[number])
        for byte in data[positions[number] : stops[word]].tobytes():
            value = ((value ^ (byte | 0xFFFFFF00 if byte & 0x80 else byte)) * _FNV_PRIME) & 0xFFFFFFFF
        state[number] = value
