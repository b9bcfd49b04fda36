"""The features fastText sees in a text, for a whole batch at once: words in, their hashes and those of pairs out.

A word's hash is 32-bit FNV-1a with fastText's sign extension of bytes from 128 up; the pair (a, b) falls into bucket
(a · 116049371 + b) mod buckets (fastText 0.9.3, `Dictionary::hash`, `Dictionary::addWordNgrams`; it extends a and b to
64 bits by their sign, which the low 32 bits of the result do not show). quality_filter.word_bytes says what a word is.

n words in the batch, D documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from quality_filter.word_bytes import Texts, encoded_texts, find_words, word_edges

_FNV_OFFSET = 2166136261
_FNV_PRIME = 16777619
_PAIR_MULTIPLIER = 116049371
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


def hash_words(texts: Texts) -> Words:
    """Return the hashed words of every text."""
    words = find_words(encoded_texts(texts))
    return Words(fnv1a(words.data, words.starts, words.stops), words.bounds)


def hash_vocabulary(words: Sequence[str]) -> np.ndarray:
    """Return the hash of each word of a vocabulary, `</s>` among them, as they are: (words,) uint32."""
    data = np.frombuffer(f" {' '.join(words)} ".encode(), np.uint8)
    return fnv1a(data, *word_edges(data))


def pair_buckets(hashes: np.ndarray, buckets: int) -> np.ndarray:
    """Return the bucket of each pair of neighbors: (n - 1,) int64; `buckets` is a power of two, 2^32 at most."""
    pairs = hashes[:-1] * np.uint32(_PAIR_MULTIPLIER)
    pairs += hashes[1:]
    pairs &= np.uint32(buckets - 1)
    return pairs.astype(np.int64)


def normalize(text: str) -> str:
    """Return the one line that stands for a text in fastText's training file and in its `predict`."""
    return " ".join(split_words(text)[:-1])


def split_words(text: str) -> list[str]:
    """Return the words of one text as strings, `</s>` last; they agree with `hash_words([text])`."""
    return find_words([text.encode()]).words()


def fnv1a(data: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Return the hash of every word data[start:stop]: (n,) uint32.

    One byte position of all words at a time; longest words first, so that the rest is a prefix.
    """
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
