"""Intervals of scores over documents and examples."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import stats

from pipelines.store.hashing import keyed_hash

CONFIDENCE = 0.95
RESAMPLES = 1000
_CELLS_AT_ONCE = 1 << 22


def ratio_interval(numerators: np.ndarray, denominators: np.ndarray) -> tuple[float, float] | None:
    """Return the 95 % interval of Σ numerators / Σ denominators over documents drawn independently.

    The ratio estimator's variance by linearization (Cochran, "Sampling Techniques", section 6.3), with Student's t.

    Args:
        numerators: (documents,) e.g. bits.
        denominators: (documents,) e.g. bytes.

    Returns:
        (low, high), or None for a single document, which tells nothing of others.
    """
    ratio = float(numerators.sum() / denominators.sum())
    count = len(numerators)
    if count < 2:
        return None
    residuals = numerators - ratio * denominators
    error = math.sqrt(count / (count - 1) * float((residuals**2).sum())) / float(denominators.sum())
    width = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * error
    return ratio - width, ratio + width


def bootstrap_generator(purpose: str) -> np.random.Generator:
    """Return a counter-based generator that is fixed by `purpose`; it decides intervals, never data."""
    return np.random.Generator(np.random.Philox(key=keyed_hash(0, "bootstrap", purpose.encode())))


def bootstrap(
    purpose: str,
    columns: np.ndarray,
    groups: np.ndarray,
    score: Callable[[np.ndarray], np.ndarray],
    resamples: int = RESAMPLES,
) -> np.ndarray:
    """Return the score of every resample of whole groups, drawn with replacement: (resamples,).

    Args:
        purpose: fixes what is drawn.
        columns: (examples, columns), whose sums the score is a function of.
        groups: (examples,) int64 from 0; examples of one group (a passage, a dialogue) are drawn together.
        score: (…, columns) of sums to (…,).
        resamples: how many.
    """
    number = int(groups.max()) + 1
    sums = np.stack([np.bincount(groups, column, number) for column in columns.T], axis=1)
    generator = bootstrap_generator(purpose)
    step = max(1, _CELLS_AT_ONCE // number)
    scores = []
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = generator.integers(0, number, (rows, number)) + np.arange(rows)[:, None] * number
        times = np.bincount(drawn.ravel(), minlength=rows * number).reshape(rows, number)
        scores.append(score(times @ sums))
    return np.concatenate(scores)


def percentile_interval(replicates: np.ndarray) -> tuple[float, float]:
    """Return the central 95 % of a bootstrap's scores; resamples that have none, for want of examples, are left out."""
    low, high = np.nanquantile(replicates, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
