"""Repetition: how often a training of so many tokens reads each component of a mixture, and how often it may.

In: weights, tokens available of each component, a budget in tokens. Out: tokens asked, epochs and a verdict for each
component. All arithmetic is exact.

The limits' defaults are from Muennighoff et al. 2023, "Scaling Data-Constrained Language Models": up to 4 epochs of
repeated text are nearly as good as new text; after that the worth of a repetition falls as e^(−r/15.4), r repetitions
(their R*_D), so that at 16 epochs it is down to 1/e of new text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from pipelines.store.configuration import Settings

Verdict = Literal["ok", "warning", "refused", "unknown"]

_UNITS = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K"))


class RepetitionLimits(Settings):
    """How many epochs of a component are warned of, and how many refused."""

    warn_epochs: float = Field(4.0, gt=0, allow_inf_nan=False)
    max_epochs: float = Field(16.0, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.warn_epochs > self.max_epochs:
            raise ValueError(
                f"warn_epochs = {self.warn_epochs:g} is more than max_epochs = {self.max_epochs:g}: nothing would be "
                "warned of; lower it"
            )
        return self


@dataclass(frozen=True)
class ComponentUse:
    """What a training takes of one component.

    Attributes:
        component: its name.
        weight: its share of the tokens, of a sum of 1.
        available: tokens there are; None where nobody knows yet.
        asked: tokens the training reads of it.
        verdict: on its epochs; `unknown` without `available`.
    """

    component: str
    weight: Fraction
    available: int | None
    asked: Fraction
    verdict: Verdict

    @property
    def epochs(self) -> Fraction | None:
        """How often the training reads the component's text."""
        return None if self.available is None else self.asked / self.available

    def to_json(self) -> dict[str, Any]:
        """Return the component's entry in what `glam mixture show --json` prints."""
        epochs = self.epochs
        return {
            "weight": float(self.weight),
            "available": self.available,
            "asked": round(self.asked),
            "epochs": None if epochs is None else float(epochs),
            "verdict": self.verdict,
        }


def exact(number: float) -> Fraction:
    """Return the decimal number that a configuration shows for this float: 0.42 is 42/100."""
    return Fraction(repr(number))


def plan_repetition(
    weights: Mapping[str, float], available: Mapping[str, int | None], budget: int, limits: RepetitionLimits
) -> list[ComponentUse]:
    """Return what a training of `budget` tokens takes of each component: the largest weight first, then by name.

    Args:
        weights: by component; they are scaled to sum to 1.
        available: tokens by component.
        budget: tokens of the training.
        limits: from where on epochs are warned of and refused.
    """
    total = sum(map(exact, weights.values()))
    uses = []
    for component in sorted(weights, key=lambda name: (-weights[name], name)):
        weight = exact(weights[component]) / total
        asked, tokens = weight * budget, available.get(component)
        verdict = "unknown" if tokens is None else judge(asked / tokens, limits)
        uses.append(ComponentUse(component, weight, tokens, asked, verdict))
    return uses


def judge(epochs: Fraction, limits: RepetitionLimits) -> Verdict:
    """Return the verdict on a number of epochs; the limits themselves are allowed."""
    if epochs > exact(limits.max_epochs):
        return "refused"
    return "warning" if epochs > exact(limits.warn_epochs) else "ok"


def explain(use: ComponentUse, limits: RepetitionLimits) -> str:
    """Say in a clause why a component is warned of or refused: its epochs and the limit."""
    assert use.available is not None
    assert use.epochs is not None
    limit = (
        f"max_epochs = {limits.max_epochs:g}" if use.verdict == "refused" else f"warn_epochs = {limits.warn_epochs:g}"
    )
    return (
        f"component {use.component}: {format_epochs(use.epochs)} epochs of its {format_amount(use.available)} tokens, "
        f"over {limit}"
    )


def largest_budget(use: ComponentUse, epochs: float) -> int:
    """Return the most tokens that a training with this component's weight may have at so many epochs of it."""
    assert use.available is not None
    return int(exact(epochs) * use.available / use.weight)


def largest_weight(use: ComponentUse, epochs: float) -> Fraction:
    """Return the largest weight that gives so many epochs at this budget."""
    assert use.available is not None
    return use.weight * exact(epochs) * use.available / use.asked


def format_epochs(epochs: Fraction) -> str:
    """Return epochs with two decimals, or two digits where that would be near zero: 12.00, 0.31, 0.018."""
    return f"{float(epochs):.2f}" if epochs >= Fraction(2, 100) else f"{float(epochs):.2g}"


def format_amount(tokens: int) -> str:
    """Return a number of tokens as configurations write it, rounded down to a thousandth of its unit: 143B, 3.577M."""
    for size, unit in _UNITS:
        if tokens >= size:
            whole, thousandths = divmod(tokens * 1000 // size, 1000)
            return f"{whole}.{thousandths:03d}".rstrip("0").rstrip(".") + unit
    return str(tokens)
