"""Cutting contaminated spans out of a document, as GPT-3 did: the match and a window on either side of it.

In: a document's text and words. Out: the spans that go, in characters, or why the whole document goes. A cut never goes
through a word. Of the pieces that are left those that are too short go too. No n-gram is left, not over a joint of two
pieces either: the words that stay are searched again until nothing is found.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.contamination.cuts import Span, pieces_between
from pipelines.contamination.matching import NgramSet
from pipelines.contamination.settings import DecontaminateSettings
from pipelines.contamination.words import to_characters
from pipelines.near_duplicates.mixing import Words
from pipelines.near_duplicates.words import Offsets, WordBatch

CONTAMINATED = "contaminated"
TOO_MANY_PIECES = "contaminated_pieces"
NOTHING_LEFT = "contaminated_short"


@dataclass(frozen=True)
class Document:
    """A text and its words: hashes, and where each begins and ends in characters."""

    text: str
    hashes: Words
    starts: Offsets
    ends: Offsets

    @classmethod
    def of(cls, text: str, words: WordBatch, number: int) -> Document:
        """Take one text of a batch, the one with this number."""
        own = slice(words.offsets[number], words.offsets[number + 1])
        first = words.text_starts[number]
        starts, ends = (to_characters(text, bounds[own] - first) for bounds in (words.starts, words.ends))
        return cls(text, words.hashes[own], starts, ends)


def spans_to_cut(
    document: Document, ngrams: NgramSet, settings: DecontaminateSettings
) -> tuple[list[Span], str | None]:
    """Return the spans that go, in order, and why the whole document goes (None: it stays without them)."""
    spans: list[Span] = []
    while True:
        kept = _outside(document, spans)
        places = np.flatnonzero(kept)
        words = WordBatch(document.hashes[kept], places, places, np.array([0, len(places)]), np.zeros(1, np.int64))
        found = ngrams.find(words)
        if not len(found.words):
            break
        matched = zip(places[found.words], places[found.words + found.lengths - 1], strict=True)
        spans = _merged([*spans, *(_window(document, *match, settings.window_characters) for match in matched)])
        pieces = pieces_between(document.text, spans)
        spans = _merged([*spans, *(piece for piece in pieces if piece[1] - piece[0] < settings.piece_characters)])
    pieces = pieces_between(document.text, spans)
    if len(pieces) > settings.max_pieces:
        return spans, TOO_MANY_PIECES
    return spans, NOTHING_LEFT if spans and not pieces else None


def _outside(document: Document, spans: list[Span]) -> NDArray[np.bool_]:
    """Tell of each word whether it is outside of all spans."""
    kept = np.ones(len(document.starts), np.bool_)
    for start, end in spans:
        kept[np.searchsorted(document.ends, start, "right") : np.searchsorted(document.starts, end, "left")] = False
    return kept


def _window(document: Document, first: int, last: int, characters: int) -> Span:
    """Return a match's span with so many characters around it, widened to the words that it would cut."""
    start = max(0, int(document.starts[first]) - characters)
    end = min(len(document.text), int(document.ends[last]) + characters)
    before = int(np.searchsorted(document.ends, start, "right"))
    after = int(np.searchsorted(document.starts, end, "left")) - 1
    return min(start, int(document.starts[before])), max(end, int(document.ends[after]))


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged
