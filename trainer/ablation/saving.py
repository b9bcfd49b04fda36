"""How much less one kind of model costs at equal quality: the compute saving factor, and data efficiency.

In: what arms cost and how they score. Out: for each arm of the reference the cost at which the saver scores the same,
the factor between the two costs, their interval, and the factor's trend with size.

As in Artetxe et al. (2021, arXiv 2112.10684): the saver's score is taken to be linear in the logarithm of the cost
between two neighboring arms, and nothing is said outside of them. The interval is the set of costs at which the score
of the saver's line cannot be told from the target, by the verdict interval of `trainer.ablation.statistics`, paired by
seed and document. So the noise of the target, of both neighbors and the slope of the line all count, and where the set
runs into an end of the line, that end of the interval is open. With tokens for costs, the answer is data efficiency.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from trainer.ablation.scores import DomainScores
from trainer.ablation.statistics import half_width, standard_errors

STEPS = 400
"""Places between the lowest and the highest cost at which the interval is looked for."""

Outcome = Literal["reached", "not reached", "reached by the least"]


@dataclass(frozen=True)
class Priced:
    """An arm: its name, what a run of it costs, and its scores in a domain."""

    name: str
    cost: float
    scores: DomainScores


@dataclass(frozen=True)
class Match:
    """Where the saver scores as an arm of the reference does.

    Attributes:
        arm: of the reference.
        cost: of a run of it.
        outcome: `reached`; `not reached`: by no arm of the saver; `reached by the least`: its cheapest arm is as good
            already, so that the cost is no more than that one's.
        at: the saver's cost; None where it is not reached.
        low: lower end of that cost's interval; None where it is open.
        high: upper end.
        by_seed: by how much the logarithm of the cost would be another for each seed alone, to first order.
        replicates: (resamples,) the same for resampled documents.
    """

    arm: str
    cost: float
    outcome: Outcome
    at: float | None
    low: float | None
    high: float | None
    by_seed: np.ndarray
    replicates: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """Return costs and factors as plain values; a factor's low end is of the saver's high cost."""
        names = ("arm", "cost", "outcome", "at")
        found = {name: getattr(self, name) for name in names} | {"at_low": self.low, "at_high": self.high}
        for factor, at in (("factor", self.at), ("factor_low", self.high), ("factor_high", self.low)):
            found[factor] = None if at is None else self.cost / at
        return found


def match(saver: Sequence[Priced], target: Priced) -> Match:
    """Return where the line through the saver's arms meets the score of an arm of the reference.

    Raises:
        ValueError: when two arms of the saver cost the same.
    """
    saver = sorted(saver, key=lambda arm: arm.cost)
    costs = np.log([arm.cost for arm in saver])
    if len(saver) < 2 or (np.diff(costs) <= 0).any():
        raise ValueError(f"{', '.join(arm.name for arm in saver)}: a line needs at least two arms of different cost")
    places = np.unique(np.concatenate([np.linspace(costs[0], costs[-1], STEPS), costs]))
    line = np.stack([np.interp(places, costs, row) for row in np.eye(len(saver))], axis=1)
    by_seed = line @ np.stack([arm.scores.by_seed for arm in saver]) - target.scores.by_seed
    replicates = np.stack([arm.scores.replicates.mean(axis=1) for arm in saver], axis=1) @ line.T
    replicates -= target.scores.replicates.mean(axis=1, keepdims=True)
    low, high = _alike(places, by_seed, replicates, target.scores.smallest)
    above = by_seed.mean(axis=1)
    if (crossing := _crossing(above)) is None:
        least = bool(above[0] <= 0)
        none = np.zeros(0)
        end = math.exp(costs[0]) if least else None
        outcome: Outcome = "reached by the least" if least else "not reached"
        return Match(target.name, target.cost, outcome, end, None, None if least else low, none, none)
    fall = (above[crossing] - above[crossing + 1]) / (places[crossing + 1] - places[crossing])
    at = float(places[crossing] + above[crossing] / fall)
    nearest = int(np.argmin(abs(places - at)))
    shifts = (by_seed[nearest] / fall, replicates[:, nearest] / fall)
    return Match(target.name, target.cost, "reached", math.exp(at), low, high, *shifts)


def _crossing(above: np.ndarray) -> int | None:
    """Return the last place that is worse than the target before the first that is not; None without such a place."""
    worse = np.flatnonzero((above[:-1] > 0) & (above[1:] <= 0))
    return int(worse[0]) if len(worse) and above[0] > 0 else None


def _alike(
    places: np.ndarray, by_seed: np.ndarray, replicates: np.ndarray, documents: int
) -> tuple[float | None, float | None]:
    """Return the ends of the costs that cannot be told from the target's; None where the line ends first."""
    if documents < 2:
        return None, None
    of_seeds, of_documents = standard_errors(by_seed, replicates[..., None], documents)
    half = half_width(of_seeds, by_seed.shape[1], of_documents, documents)
    alike = np.flatnonzero(abs(by_seed.mean(axis=1)) <= half)
    if not len(alike):
        return None, None
    first, last = int(alike[0]), int(alike[-1])
    low = None if first == 0 else math.exp(places[first])
    return low, None if last == len(places) - 1 else math.exp(places[last])


def trend(matches: Sequence[Match], documents: int) -> dict[str, float] | None:
    """Return by what the factor is multiplied when the reference costs ten times as much.

    A line through the logarithms of the factors by those of the reference's costs, its interval from the same seeds and
    documents; to first order, since a seed moves a cost by its score over the line's slope.

    Returns:
        {"times", "low", "high", "sizes": of the reference}; None where fewer than two sizes are reached.
    """
    reached = [found for found in matches if found.outcome == "reached" and found.at]
    if len(reached) < 2 or documents < 2:
        return None
    sizes = np.log10([found.cost for found in reached])
    weights = (sizes - sizes.mean()) / ((sizes - sizes.mean()) ** 2).sum()
    factors = np.log10([found.cost / (found.at or 1.0) for found in reached])
    by_seed = weights @ np.stack([found.by_seed for found in reached]) / math.log(10)
    replicates = weights @ np.stack([found.replicates for found in reached]) / math.log(10)
    of_seeds, of_documents = standard_errors(by_seed, replicates[:, None], documents)
    half = float(half_width(of_seeds, len(by_seed), of_documents, documents))
    slope = float(weights @ factors)
    ends = {"times": slope, "low": slope - half, "high": slope + half}
    return {**{name: 10**value for name, value in ends.items()}, "sizes": float(len(reached))}
