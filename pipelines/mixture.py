"""Weights of a mixture from small models: a component that teaches more of what is wanted gets more of the training.

As in GLaM (Du et al. 2022, section 3), weights follow how well a small model does that was trained on one component
alone, and none is so large that its component would be read too often. The paper gives no formula; this one is ours.
With s_c the bits per byte that the model of component c needs for a common target text, h the difference that halves a
weight, and u_c = max_epochs · tokens_c / budget:

    preference p_c = 2^(−s_c / h),    weight w_c = min(u_c, max(1/1,000, λ·p_c)),    λ such that Σ w_c = 1

Weights are multiples of 1/1,000, the rows of a block of training (docs/formats.md, "The order of training"), rounded
by largest remainder, never over u_c. A component whose u_c is below 1/1,000 leaves the mixture. Scores are decimals
and all else is exact, so the same scores give the same weights everywhere.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation, localcontext
from fractions import Fraction

from pipelines.store.errors import GlamError
from pipelines.store.files import read_bytes

ROWS = 1000
"""Weights are multiples of 1/ROWS."""
_DIGITS = 50


class WeightsError(GlamError):
    """No weights follow from these scores; the message says why and what to do."""


@dataclass(frozen=True)
class DerivedWeight:
    """The weight of one component.

    Attributes:
        component: its name.
        score: bits per byte that the model of the component needs for the target.
        uncapped: the weight, in 1/ROWS, if text were without end.
        most: the largest weight, in 1/ROWS, that its tokens allow.
        rows: the weight in 1/ROWS.
    """

    component: str
    score: Decimal
    uncapped: int
    most: int
    rows: int

    @property
    def weight(self) -> Decimal:
        """The weight as a configuration has it."""
        return Decimal(self.rows) / ROWS


def derive_weights(
    scores: Mapping[str, Decimal],
    available: Mapping[str, int | None],
    budget: int,
    max_epochs: Fraction,
    halving: Decimal,
) -> list[DerivedWeight]:
    """Return the weights of the components of `scores`: the best score first, then by name.

    Args:
        scores: bits per byte of the target, by component of the model's training; lower is better.
        available: tokens by component; None where nobody knows: such a component is not capped.
        budget: tokens of the training that the mixture is for.
        max_epochs: how often no component may be exceeded.
        halving: bits per byte that halve a weight.

    Raises:
        WeightsError: when all components together have too little text for the budget.
    """
    names = sorted(scores, key=lambda name: (scores[name], name))
    preferences = _preferences([scores[name] for name in names], halving)
    most = [_most_rows(available.get(name), budget, max_epochs) for name in names]
    if sum(most) < ROWS:
        raise WeightsError(
            f"at max_epochs = {float(max_epochs):g} the components have too little text for a budget of {budget:,} "
            f"tokens; lower the budget to {_largest_budget(list(available.values()), budget, max_epochs):,}, raise "
            "max_epochs or add text"
        )
    uncapped = _round(_fill(preferences, [ROWS] * len(names)))
    rows = _round(_fill(preferences, most))
    return [DerivedWeight(name, scores[name], *row) for name, *row in zip(names, uncapped, most, rows, strict=True)]


def _preferences(scores: list[Decimal], halving: Decimal) -> list[Fraction]:
    with localcontext(prec=_DIGITS):
        return [Fraction(Decimal(2) ** ((min(scores) - score) / halving)) for score in scores]


def _most_rows(tokens: int | None, budget: int, max_epochs: Fraction) -> int:
    return ROWS if tokens is None else min(ROWS, int(ROWS * max_epochs * tokens / budget))


def _largest_budget(available: list[int | None], budget: int, max_epochs: Fraction) -> int:
    """Return the largest budget, at most `budget`, that the tokens suffice for."""
    low, high = 0, budget
    while high - low > 1:
        middle = (low + high) // 2
        if sum(_most_rows(tokens, middle, max_epochs) for tokens in available) >= ROWS:
            low = middle
        else:
            high = middle
    return low


def _fill(preferences: list[Fraction], most: list[int]) -> list[Fraction]:
    """Return min(most, max(least, λ·preference)) of each component, λ such that they sum to ROWS.

    The sum grows with λ and is linear between the values of λ at which a component meets one of its bounds.
    """
    bounds = [(preference, min(1, limit), limit) for preference, limit in zip(preferences, most, strict=True)]

    def filled(scale: Fraction) -> list[Fraction]:
        return [min(Fraction(high), max(Fraction(low), scale * preference)) for preference, low, high in bounds]

    below = Fraction(0)
    for above in sorted({Fraction(bound) / preference for preference, *pair in bounds for bound in pair}):
        if sum(filled(above)) >= ROWS:
            start, end = sum(filled(below)), sum(filled(above))
            share = Fraction(ROWS - start, end - start) if end > start else Fraction(0)
            return filled(below + share * (above - below))
        below = above
    raise AssertionError("the largest weights sum to less than 1")


def _round(exact: list[Fraction]) -> list[int]:
    """Round to integers of the same sum: those of the largest remainders up, ties in order."""
    rows = [int(value) for value in exact]
    by_remainder = sorted(range(len(exact)), key=lambda index: (rows[index] - exact[index], index))
    for index in by_remainder[: ROWS - sum(rows)]:
        rows[index] += 1
    return rows


def mixture_toml(derived: Sequence[DerivedWeight], expected_tokens: Mapping[str, int | None]) -> str:
    """Return the `[mixture]` of a configuration with these weights, in order of weight."""
    lines = ["[mixture]"]
    for entry in sorted(derived, key=lambda entry: -entry.rows):
        tokens = expected_tokens.get(entry.component)
        more = f", expected_tokens = {tokens}" if tokens else ""
        line = f"{entry.component} = {{ weight = {entry.weight}{more} }}"
        lines.append(line if entry.rows else f"# {entry.component} has too little text for a weight of 1/{ROWS}")
    return "\n".join(lines)


def read_scores(path: str) -> dict[str, Decimal]:
    """Read {component: bits per byte} from a JSON object, or from CSV with the columns `component` and `score`.

    Raises:
        WeightsError: when the file is neither, or a score is no positive number.
    """
    try:
        text = read_bytes(path).decode("utf-8-sig")
        if path.endswith(".csv"):
            found = {row["component"]: row["score"] for row in csv.DictReader(text.splitlines())}
        else:
            found = json.loads(text, parse_float=str, parse_int=str)
        scores = {str(name): Decimal(score) for name, score in dict(found).items()}
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}); give a JSON or CSV file of scores") from error
    except (ValueError, KeyError, TypeError, InvalidOperation) as error:
        raise WeightsError(
            f'{path}: not scores ({error!r}); write {{"web": 1.31, …}} in JSON, or CSV with columns component, score'
        ) from error
    wrong = [f"{name} = {score}" for name, score in scores.items() if not score.is_finite() or score <= 0]
    if wrong or not scores:
        raise WeightsError(
            f"{path}: {', '.join(wrong) or 'no score'}; a score is the bits per byte of a model: a number above 0"
        )
    return scores
