"""Training examples of the classifier: documents in, balanced and ordered pieces of similar length out.

A classifier that sees whole books against short pages learns length. So every text is cut into pieces of about
`piece_characters`, a document gives a limited number of them and a source as well; negatives are drawn so that in
every bucket of lengths they are as many, relative to all, as the positives; the smaller class is repeated until both
are equal. Every choice is by the smallest `order` of a key, a keyed hash that the caller gives, so it depends
neither on the order in which documents arrive nor on the number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import NamedTuple

from quality_filter.settings import QualitySettings

Order = Callable[[bytes], int]
"""A keyed hash: bytes in, an integer uniform in [0, 2^64) out."""

MOST_COPIES = 4
"""How often one negative may stand for others of its length."""

# How far from its ideal place a cut may move to meet the end of a line, as a share of the piece.
_CUT_WINDOW = 4


class Example(NamedTuple):
    """One piece of text with its class; `key` tells it from all other examples."""

    key: bytes
    source: str
    positive: bool
    text: str


def cut_pieces(text: str, piece_characters: int) -> list[str]:
    """Cut a text into equal pieces of about `piece_characters`, at line ends or blanks near the ideal places.

    Nothing is lost: the pieces joined give the text.
    """
    count = max(1, round(len(text) / piece_characters))
    window = piece_characters // _CUT_WINDOW
    cuts = [0, *(_near(text, number * len(text) // count, window) for number in range(1, count)), len(text)]
    return [text[start:end] for start, end in pairwise(cuts)]


def _near(text: str, ideal: int, window: int) -> int:
    for separator in ("\n", " "):
        before = text.rfind(separator, ideal - window, ideal)
        after = text.find(separator, ideal, ideal + window)
        found = [cut + 1 for cut in (before, after) if cut >= 0]
        if found:
            return min(found, key=lambda cut: (abs(cut - ideal), cut))
    return ideal


def document_examples(
    document_id: bytes, source: str, positive: bool, text: str, settings: QualitySettings, order: Order
) -> list[Example]:
    """Return the examples that one document gives: all its pieces, or `pieces_per_document` of them by `order`."""
    pieces = [
        Example(document_id + number.to_bytes(4, "big"), source, positive, piece)
        for number, piece in enumerate(cut_pieces(text, settings.piece_characters))
    ]
    return smallest(pieces, settings.pieces_per_document, order)


def choose_examples(examples: Iterable[Example], settings: QualitySettings, order: Order) -> list[Example]:
    """Return the examples left under the caps by source and class, sorted by key.

    Raises:
        ValueError: when two examples have one key or a class has no example.
    """
    groups: dict[tuple[bool, str], list[Example]] = {}
    for example in examples:
        groups.setdefault((example.positive, example.source), []).append(example)
    caps = {True: settings.positives_per_source, False: settings.negatives_per_source}
    chosen = [e for (positive, _), group in groups.items() for e in smallest(group, caps[positive], order)]
    chosen.sort(key=lambda example: example.key)
    for one, other in pairwise(chosen):
        if one.key == other.key:
            raise ValueError(f"two examples have the key {one.key.hex()}; give every document once, with its own id")
    for positive, name in ((True, "positive"), (False, "negative")):
        if not any(example.positive is positive for example in chosen):
            raise ValueError(
                f"no {name} example among {len(chosen)}; check [quality] {name}s and the sources they name"
            )
    return chosen


def smallest(examples: list[Example], count: int, order: Order) -> list[Example]:
    """Return the `count` examples with the smallest `order` of their keys, in that order."""
    return sorted(examples, key=lambda example: (order(example.key), example.key))[:count]


class LengthBucket(NamedTuple):
    """How the negatives of one bucket of lengths were drawn.

    Attributes:
        shortest: least length of the bucket in characters; the next bucket's is longer by a quarter to a half.
        positives, negatives: examples there are.
        wanted: negatives that the positives' distribution asks for.
        drawn: negatives taken, an example up to MOST_COPIES times.
    """

    shortest: int
    positives: int
    negatives: int
    wanted: int
    drawn: int


def length_bucket(text: str) -> int:
    """Return the shortest length that counts as one with this text's: its first two binary digits, then zeros."""
    shift = max(0, len(text).bit_length() - 2)
    return len(text) >> shift << shift


def match_lengths(examples: list[Example], order: Order) -> tuple[list[Example], list[LengthBucket]]:
    """Return the positives and as many negatives of each length as match them, and what was drawn by bucket.

    Of n negatives and p positives a bucket with q positives is to give ⌈n · q / p⌉ negatives: the first ones by
    `order`, repeated (under keys of their own) up to MOST_COPIES times where there are fewer.
    """
    buckets: dict[int, tuple[list[Example], list[Example]]] = {}
    for example in examples:
        buckets.setdefault(length_bucket(example.text), ([], []))[example.positive].append(example)
    positives = [example for example in examples if example.positive]
    negatives = len(examples) - len(positives)
    matched, rows = positives, []
    for shortest in sorted(buckets):
        there, here = buckets[shortest]
        wanted = -(-negatives * len(here) // len(positives))
        drawn = [
            example._replace(key=example.key + copy.to_bytes(4, "big"))
            for copy in range(MOST_COPIES)
            for example in smallest(there, len(there), order)
        ][:wanted]
        matched = matched + drawn
        rows.append(LengthBucket(shortest, len(here), len(there), wanted, len(drawn)))
    return matched, rows


def balance(examples: list[Example], order: Order) -> list[Example]:
    """Return the examples in training order, those of the smaller class repeated until the classes are equal."""
    classes = [[e for e in examples if e.positive is positive] for positive in (False, True)]
    larger = max(len(group) for group in classes)
    copies: list[tuple[int, bytes, Example]] = []
    for group in classes:
        ranked = smallest(group, len(group), order)
        for number in range(larger):
            copy, position = divmod(number, len(ranked))
            example = ranked[position]
            key = example.key + copy.to_bytes(4, "big")
            copies.append((order(key), key, example))
    copies.sort(key=lambda item: item[:2])
    return [example for _, _, example in copies]
