"""Intervals of scores over documents."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


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
