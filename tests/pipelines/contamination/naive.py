"""N-gram overlap the slow and obvious way, on Python strings."""

from __future__ import annotations

import unicodedata

UNSPACED = ((0x0E00, 0x0EFF), (0x3040, 0x30FF), (0x4E00, 0x9FFF))
"""The scripts without spaces that these tests use: Thai, kana, Han."""


def naive_words(text: str) -> list[str]:
    """Lower-cased runs of letters, marks and digits; every character of a script without spaces by itself."""
    words, run = [], ""
    for character in f"{text} ":
        inside = character.isalnum() or unicodedata.category(character)[0] == "M"
        alone = inside and any(low <= ord(character) <= high for low, high in UNSPACED)
        if run and (alone or not inside):
            words.append(run)
            run = ""
        if alone:
            words.append(character)
        elif inside:
            run += character.lower() if len(character.lower()) == 1 else character
    return words


def naive_ngrams(example: str, n: int) -> list[tuple[str, ...]]:
    """The n-grams of an example in order; all its words where they are fewer."""
    words = naive_words(example)
    length = min(n, len(words))
    return [tuple(words[i : i + length]) for i in range(len(words) - length + 1)] if length else []


def naive_matches(text: str, examples: list[str], n: int) -> list[tuple[int, tuple[str, ...]]]:
    """Every (word of the text, n-gram that begins there), sorted."""
    words = naive_words(text)
    ngrams = {ngram for example in examples for ngram in naive_ngrams(example, n)}
    lengths = {len(ngram) for ngram in ngrams}
    return sorted(
        (place, tuple(words[place : place + length]))
        for length in lengths
        for place in range(len(words) - length + 1)
        if tuple(words[place : place + length]) in ngrams
    )


def naive_documents(texts: list[str], examples: list[str], n: int) -> list[list[int]]:
    """Of each example the numbers of the texts that share an n-gram with it."""
    wanted = [set(naive_ngrams(example, n)) for example in examples]
    documents: list[list[int]] = [[] for _ in examples]
    for number, words in enumerate(map(naive_words, texts)):
        for length in {len(ngram) for ngrams in wanted for ngram in ngrams}:
            there = {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}
            for example, ngrams in enumerate(wanted):
                if not there.isdisjoint(ngrams) and number not in documents[example]:
                    documents[example].append(number)
    return documents
