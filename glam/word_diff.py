"""A short word-by-word difference of two texts, for people.

In: two texts. Out: hunks, each a changed place with a few words around it; long stretches are cut in the middle.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

CONTEXT_WORDS = 6
MOST_WORDS = 40
"""Words shown of one removed or added stretch; of a longer one the middle is left out and its words are counted."""
MOST_COMPARED = 20_000
"""Words of each text that are compared, so that two books do not take minutes."""


@dataclass(frozen=True)
class Hunk:
    """A changed place: words that both have before it, only the first has, only the second has, both have after it."""

    before: str
    removed: str
    added: str
    after: str


@dataclass(frozen=True)
class WordDiff:
    """The first hunks of a difference, how many more there are, and words of either text that were not compared."""

    hunks: tuple[Hunk, ...]
    further_hunks: int
    words_not_compared: int


def word_diff(first: str, second: str, most_hunks: int) -> WordDiff:
    """Return the difference from the first text to the second, of which at most `most_hunks` are shown.

    White space does not count.
    """
    left, right = first.split(), second.split()
    beyond = max(len(left), len(right)) - MOST_COMPARED
    hunks = list(_hunks(left[:MOST_COMPARED], right[:MOST_COMPARED]))
    return WordDiff(tuple(hunks[:most_hunks]), max(0, len(hunks) - most_hunks), max(0, beyond))


def _hunks(left: Sequence[str], right: Sequence[str]) -> Iterator[Hunk]:
    # autojunk passes over very frequent words as anchors: without it, time grows with the square of the length.
    for tag, start, end, other_start, other_end in SequenceMatcher(None, left, right).get_opcodes():
        if tag != "equal":
            yield Hunk(
                before=" ".join(left[max(0, start - CONTEXT_WORDS) : start]),
                removed=_shortened(left[start:end]),
                added=_shortened(right[other_start:other_end]),
                after=" ".join(left[end : end + CONTEXT_WORDS]),
            )


def _shortened(words: Sequence[str]) -> str:
    if len(words) <= MOST_WORDS:
        return " ".join(words)
    half = MOST_WORDS // 2
    return f"{' '.join(words[:half])} … {len(words) - 2 * half:,} words … {' '.join(words[-half:])}"
