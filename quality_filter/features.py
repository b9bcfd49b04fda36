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
_RESERVED = re.compile(rf"(?<!\S)(?:{END_OF_LINE}(?!\S)|{LABEL_PREFIX}\S*)")
# UTF-8 of the space separators (Unicode category Zs) by their first byte; E2 80 80 to E2 80 8A are ten of them.
_WIDE_SPACES = {
    0xC2: (b"\xc2\xa0",),
    0xE1: (b"\xe1\x9a\x80",),
    0xE2: (*(bytes((0xE2, 0x80, last)) for last in range(0x80, 0x8B)), b"\xe2\x80\xaf", b"\xe2\x81\x9f"),
    0xE3: (b"\xe3\x80\x80",),
}
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
    return data.tobytes().decode().split()


def _pack(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return all texts as one array of bytes that begins and ends with a blank, and where each one ends in it."""
    encoded = [_lower(text).encode() for text in texts]
    packed = b"".join((b" ", _SEPARATOR.join(encoded), _SEPARATOR if encoded else b""))
    ends = np.cumsum([len(text) + len(_SEPARATOR) for text in encoded], dtype=np.int64) + 1
    data = np.frombuffer(packed, np.uint8).copy()
    _blank_separators(data)
    return data, ends


def _lower(text: str) -> str:
    lowered = text.lower()
    if END_OF_LINE in lowered or LABEL_PREFIX in lowered:
        return _RESERVED.sub(" ", lowered)
    return lowered


def _blank_separators(data: np.ndarray) -> None:
    """Overwrite, in place, every separator with blanks."""
    data[data < _BLANK] = _BLANK
    if data.max() < 0x80:
        return
    for first, sequences in _WIDE_SPACES.items():
        candidates = np.flatnonzero(data == first)
        if len(candidates) == 0:
            continue
        for sequence in sequences:
            matches = np.ones(len(candidates), bool)
            for offset, byte in enumerate(sequence):
                matches &= data[candidates + offset] == byte
            for offset in range(len(sequence)):
                data[candidates[matches] + offset] = _BLANK


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
            _finish(data, stops, order[:active], positions, state)
            break
        state[:active] ^= signed[positions[:active]].astype(np.uint32)
        state[:active] *= np.uint32(_FNV_PRIME)
        positions[:active] += 1
    else:
        _finish(data, stops, order[: int(longer_than[_LONG_WORD - 1])], positions, state)
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
