"""A corpus with near-duplicates of known similarity: what deduplication is measured on.

Base documents are sequences of invented words with a long-tailed frequency, so that no two are alike by chance; a
share of them gets a copy edited word by word (replaced, deleted, inserted) at a rate between 0 and 10 %. The true
Jaccard similarity of each pair is computed from the sets of word 5-grams as strings. The same seed gives the same
corpus.

In: number of base documents, words a document, seed. Out: {name: text} and the injected pairs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

EDIT_RATES = (0.0, 0.003, 0.006, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.07, 0.1)
WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class InjectedPair:
    """Names of a base document and of its edited copy, and the true Jaccard similarity of their word 5-grams."""

    base: str
    copy: str
    similarity: float


@dataclass(frozen=True)
class NearDuplicateCorpus:
    """Texts by name, and the near-duplicates among them."""

    texts: dict[str, str]
    pairs: list[InjectedPair]


def word_shingles(text: str, width: int = 5) -> set[tuple[str, ...]]:
    """Return the set of runs of `width` lower-cased words: the slow, obvious reference."""
    words = WORD.findall(text.lower())
    return {tuple(words[place : place + width]) for place in range(len(words) - width + 1)}


def jaccard(left: set[tuple[str, ...]], right: set[tuple[str, ...]]) -> float:
    """Return |left ∩ right| / |left ∪ right|, 0 for two empty sets."""
    return len(left & right) / len(left | right) if left or right else 0.0


def make_corpus(base_documents: int, seed: int = 1, mean_words: int = 450, copied: float = 0.25) -> NearDuplicateCorpus:
    """Return a corpus of `base_documents` texts and edited copies of the first `copied` of them."""
    generator = np.random.default_rng(seed)
    vocabulary = _vocabulary(generator, 20_000)
    texts: dict[str, str] = {}
    pairs = []
    for number in range(base_documents):
        length = int(np.clip(generator.lognormal(np.log(mean_words), 0.6), 80, 3000))
        words = vocabulary[_long_tailed(generator, length, len(vocabulary))].tolist()
        texts[f"base-{number}"] = _text(words)
        if number < copied * base_documents:
            edited = _edit(words, EDIT_RATES[number % len(EDIT_RATES)], vocabulary, generator)
            texts[f"copy-{number}"] = _text(edited)
            similarity = jaccard(word_shingles(texts[f"base-{number}"]), word_shingles(texts[f"copy-{number}"]))
            pairs.append(InjectedPair(f"base-{number}", f"copy-{number}", similarity))
    return NearDuplicateCorpus(texts, pairs)


def _vocabulary(generator: np.random.Generator, size: int) -> np.ndarray:
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    lengths = generator.integers(2, 11, size)
    return np.array(sorted({"".join(letters[_long_tailed(generator, n, 26)]) for n in lengths.tolist()}))


def _long_tailed(generator: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Return `count` numbers below `size`, small ones often (density falling as the square root's inverse)."""
    return (generator.random(count) ** 2 * size).astype(np.int64)


def _edit(words: list[str], rate: float, vocabulary: np.ndarray, generator: np.random.Generator) -> list[str]:
    edited = []
    for word in words:
        if generator.random() >= rate:
            edited.append(word)
            continue
        other = str(vocabulary[generator.integers(len(vocabulary))])
        edited += ([other], [], [word, other])[generator.choice(3, p=(0.5, 0.25, 0.25))]
    return edited


def _text(words: list[str]) -> str:
    sentences = (" ".join(words[start : start + 12]).capitalize() for start in range(0, len(words), 12))
    return ".\n".join(sentences) + "."
