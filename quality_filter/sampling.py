"""The Pareto rule in integers: keep a document if its draw U is below T[s] (GPT-3, appendix A; GLaM, section 3).

GPT-3 keeps a document of score p when a draw from a Pareto distribution of shape α is above 1 - p, which happens with
probability (2 - p)^-α. Here s in 0 … 65,535 is the score, or the rank quantile of the score, in 1/65,536; U is a keyed
hash of the document's id, uniform in [0, 2^64); and T[s] = ⌊2^64 · (2 - s/65,536)^-α⌋. The largest s has T[s] < 2^64,
so T fits in 64 bits and no document is kept for certain. On rank quantiles the share kept depends on α alone.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal, InvalidOperation, localcontext
from fractions import Fraction

import numpy as np

SCORE_UNITS = 1 << 16
_DRAWS = 1 << 64
# 20 digits before the point; T is never an integer before rounding unless α is one, and that case is done in integers.
_CONTEXT = Context(prec=60)
_NEGLIGIBLE = Decimal("1e-62")


class ParetoTable:
    """The thresholds T for one α.

    Attributes:
        alpha: the shape, as given.
        thresholds: (65,536,) uint64, T[s].
    """

    def __init__(self, alpha: str | int | float) -> None:
        """Compute the table in exact arithmetic; `alpha` is read as the decimal number it is written as."""
        self.alpha = str(alpha)
        try:
            exponent = Decimal(self.alpha)
        except InvalidOperation:
            raise ValueError(f"alpha = {self.alpha!r} is not a decimal number; use one such as 3 or 2.5") from None
        if not exponent.is_finite() or exponent <= 0:
            raise ValueError(f"alpha = {self.alpha} gives no sampling rule; it must be finite and above 0")
        integral = exponent == exponent.to_integral_value()
        values = _integral_thresholds(int(exponent)) if integral else _decimal_thresholds(exponent)
        self.thresholds = np.array(values, np.uint64)
        self.thresholds.flags.writeable = False

    def keeps(self, draw: int, s: int) -> bool:
        """Say whether a document of score (or rank quantile) `s` stays at this draw."""
        return draw < int(self.thresholds[_checked(s)])

    def keep(self, draws: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Say it of many: draws uint64 and `s` integers of one shape in, booleans out."""
        if s.size:
            _checked(int(s.min()))
            _checked(int(s.max()))
        return draws.astype(np.uint64, copy=False) < self.thresholds[s]

    def share_kept(self) -> Fraction:
        """Return the expected share of documents kept when every `s` is equally frequent, as rank quantiles are."""
        return Fraction(sum(self.thresholds.tolist()), SCORE_UNITS * _DRAWS)


def closed_form_share(alpha: float) -> float:
    """Return the share kept in the limit of fine ranks: the integral of (2 - r)^-α over r in [0, 1]."""
    if alpha == 1:
        return math.log(2)
    return (1 - 2 ** (1 - alpha)) / (alpha - 1)


def rank_quantile(position: int, total: int) -> int:
    """Return the rank quantile, in 1/65,536, of the document at `position` (from 0) in the order of (score, id)."""
    if not 0 <= position < total:
        raise ValueError(f"position {position} is not in 0 … {total - 1}")
    return position * SCORE_UNITS // total


def _checked(s: int) -> int:
    if not 0 <= s < SCORE_UNITS:
        raise ValueError(f"score or rank {s} is outside 0 … {SCORE_UNITS - 1} (units of 1/{SCORE_UNITS:,})")
    return s


def _integral_thresholds(alpha: int) -> list[int]:
    numerator = _DRAWS * SCORE_UNITS**alpha
    return [numerator // (2 * SCORE_UNITS - s) ** alpha for s in range(SCORE_UNITS)]


def _decimal_thresholds(alpha: Decimal) -> list[int]:
    """Walk from s = 65,536, where the ratio is 1, down to 0; a power a step would take seconds.

    With m = 131,072 - s, each step multiplies by (1 + 1/m)^-α. The 65,536 steps lose less than 6 of the 60 digits,
    which leaves some 34 behind the point.
    """
    thresholds = []
    with localcontext(_CONTEXT):
        threshold = Decimal(_DRAWS)
        for m in range(SCORE_UNITS, 2 * SCORE_UNITS):
            threshold *= _power_of_ratio(Decimal(1) / m, -alpha)
            thresholds.append(int(threshold))
    return thresholds[::-1]


def _power_of_ratio(x: Decimal, exponent: Decimal) -> Decimal:
    """Return (1 + x)^exponent by the binomial series, for small x."""
    total = term = Decimal(1)
    k = 0
    while abs(term) > _NEGLIGIBLE:
        term *= (exponent - k) * x / (k + 1)
        total += term
        k += 1
    return total
