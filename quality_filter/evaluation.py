"""How well scores tell positives from negatives, and how they lie by source: integer counts in, exact figures out.

Everything follows from histograms of the 65,536 scores, which are sums: workers count their own documents, and the
histograms are added. No figure depends on the order of documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import numpy as np

SCORE_UNITS = 1 << 16


def count_scores(scores: np.ndarray) -> np.ndarray:
    """Return how many documents have each score: (documents,) integers in 0 … 65,535 to (65,536,) int64."""
    if scores.size and not 0 <= int(scores.min()) <= int(scores.max()) < SCORE_UNITS:
        raise ValueError(f"scores from {scores.min()} to {scores.max()}; they must be in 0 … {SCORE_UNITS - 1}")
    return np.bincount(scores, minlength=SCORE_UNITS).astype(np.int64)


def auc(positives: np.ndarray, negatives: np.ndarray) -> Fraction:
    """Return the chance that a positive has a higher score than a negative, a tie counting half; from histograms.

    Raises:
        ValueError: when a class is empty.
    """
    pairs = int(positives.sum()) * int(negatives.sum())
    if pairs == 0:
        raise ValueError("AUC needs documents of both classes; hold out some positives and some negatives")
    below = np.cumsum(negatives) - negatives
    # Python's integers: a corpus has more pairs of documents than fit in 64 bits.
    wins = sum(
        count * (2 * lower + equal)
        for count, lower, equal in zip(positives.tolist(), below.tolist(), negatives.tolist(), strict=True)
    )
    return Fraction(wins, 2 * pairs)


def bootstrap_auc(
    positives: np.ndarray, negatives: np.ndarray, seed: int, resamples: int = 1000, level: float = 0.95
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the AUC over documents, from the scores of each class.

    A counter-based generator keyed by `seed` draws the documents; it decides an interval, never data.
    """
    generator = np.random.Generator(np.random.Philox(key=seed))
    values = np.unique(np.concatenate([positives, negatives]))
    counts = [np.bincount(np.searchsorted(values, scores), minlength=len(values)) for scores in (positives, negatives)]
    figures = []
    for _ in range(resamples):
        above, below = (generator.multinomial(count.sum(), count / count.sum()) for count in counts)
        wins = int((above * (2 * np.cumsum(below) - below)).sum())
        figures.append(wins / (2 * len(positives) * len(negatives)))
    tail = (1 - level) / 2
    return float(np.quantile(figures, tail)), float(np.quantile(figures, 1 - tail))


class Threshold(NamedTuple):
    """What happens when documents of at least `score` count as positive; precision is None where there are none."""

    score: int
    precision: Fraction | None
    recall: Fraction


def precision_at(positives: np.ndarray, negatives: np.ndarray, thresholds: Iterable[int]) -> list[Threshold]:
    """Return precision and recall at each threshold, from histograms."""
    total = int(positives.sum())
    if total == 0:
        raise ValueError("recall needs positives; hold out some of them")
    rows = []
    for score in thresholds:
        right, wrong = int(positives[score:].sum()), int(negatives[score:].sum())
        precision = Fraction(right, right + wrong) if right + wrong else None
        rows.append(Threshold(score, precision, Fraction(right, total)))
    return rows


class ReliabilityBin(NamedTuple):
    """Documents whose scores lie in [low, high): what the scores promise on average, and the share that is positive."""

    low: int
    high: int
    documents: int
    mean_probability: Fraction | None
    positive_share: Fraction | None


def reliability(positives: np.ndarray, negatives: np.ndarray, bins: int = 10) -> list[ReliabilityBin]:
    """Return the reliability table, from histograms; a score stands for the middle of its 1/65,536."""
    rows = []
    for low, high in _bin_edges(bins):
        right = positives[low:high]
        both = right + negatives[low:high]
        documents = int(both.sum())
        if documents == 0:
            rows.append(ReliabilityBin(low, high, 0, None, None))
            continue
        halves = sum(count * (2 * score + 1) for score, count in enumerate(both.tolist(), low))
        mean = Fraction(halves, 2 * SCORE_UNITS * documents)
        rows.append(ReliabilityBin(low, high, documents, mean, Fraction(int(right.sum()), documents)))
    return rows


def histogram_by_source(scores: Mapping[str, np.ndarray], bins: int = 20) -> dict[str, list[int]]:
    """Return, for each source, how many documents lie in each of `bins` equal ranges of the score; from histograms."""
    edges = _bin_edges(bins)
    return {source: [int(counts[low:high].sum()) for low, high in edges] for source, counts in sorted(scores.items())}


def _bin_edges(bins: int) -> list[tuple[int, int]]:
    if not 1 <= bins <= SCORE_UNITS:
        raise ValueError(f"{bins} bins; use 1 to {SCORE_UNITS}")
    edges = [number * SCORE_UNITS // bins for number in range(bins + 1)]
    return list(pairwise(edges))
