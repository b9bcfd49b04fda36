"""Paired differences of bits per byte between two arms, with intervals and a verdict in words.

In: for each arm and seed (run), for each held-out source, the bits and the bytes of every document; both arms scored
the same documents. Out: for each domain the difference A − B in bits per byte (negative: A is better).

The seed of an arm's run also orders the data, so run k of A is paired with run k of B, and both are scored on the same
documents (`trainer.ablation.scores`).

Two intervals are given, both at 95 %. The verdict rests on the first:

- the *verdict interval* has half-width √((t₁·SE₁)² + (t₂·SE₂)²): SE₁ the standard error over n seeds with t₁ of n − 1
  degrees of freedom, SE₂ that of the document bootstrap with t₂ of one less than the documents of the smallest source.
  Each error keeps its own quantile: with t₁ on both, three seeds cover up to 1.00 where documents dominate, with
  Satterthwaite's degrees of freedom as little as .92; this form covers .95 to .975 at 3, 5 and 10 seeds
  (tests/trainer/ablation/test_statistics.py simulates it).
- the *percentile bootstrap*, hierarchical over seeds and documents, is printed beside: over three seeds it covers only
  about .76.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from trainer.ablation.scores import RESAMPLES, Domain, DomainScores, RunScores, score_domains
from trainer.evaluation.intervals import bootstrap_generator

CONFIDENCE = 0.95
POWER = 0.8
MOST_SEEDS = 1000
"""No more seeds than this are ever called for: an effect that needs more is too small to matter here."""

_UPPER = 0.5 + CONFIDENCE / 2


@dataclass(frozen=True)
class PairedDifference:
    """The difference A − B of a domain, in bits per byte.

    Attributes:
        difference: mean over the seeds.
        low: lower end of the verdict interval; None where there is a single document in a source.
        high: upper end of the verdict interval.
        by_seed: the difference of each seed.
        seed_error: standard error over seeds.
        document_error: standard error of the document bootstrap.
        bootstrap_low: lower end of the percentile bootstrap.
        bootstrap_high: upper end of the percentile bootstrap.
        documents: held-out documents of the domain.
        mean_a: score of arm A, mean over the seeds.
        mean_b: score of arm B.
        seeds_needed: seeds that would tell an effect of this size with a power of 0.8, documents as they are; None
            where it is told already or no number of seeds would do.
    """

    domain: str
    kind: str
    difference: float
    low: float | None
    high: float | None
    by_seed: tuple[float, ...]
    seed_error: float
    document_error: float | None
    bootstrap_low: float
    bootstrap_high: float
    documents: int
    mean_a: float
    mean_b: float
    seeds_needed: int | None

    @property
    def distinguishable(self) -> bool:
        """Whether the verdict interval leaves out zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    def verdict(self, a: str, b: str, unit: str = "bits per byte", digits: int = 3) -> str:
        """Say in words what the interval allows to say of arms `a` and `b`, and no more."""
        if self.low is None or self.high is None:
            return "no verdict: a single held-out document says nothing about others"
        if self.distinguishable:
            better, low, high = (a, -self.high, -self.low) if self.difference < 0 else (b, self.low, self.high)
            by, ends = f"{abs(self.difference):.{digits}f}", f"{low:.{digits}f}, {high:.{digits}f}"
            return f"{better} better by {by} [{ends}] {unit}"
        need = (
            f"would need about {self.seeds_needed} seeds"
            if self.seeds_needed
            else f"{MOST_SEEDS:,} seeds would not tell on these documents"
        )
        return f"not distinguishable ({need})"

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain values."""
        return {**asdict(self), "by_seed": list(self.by_seed), "distinguishable": self.distinguishable}


def compare(
    runs_a: Sequence[RunScores], runs_b: Sequence[RunScores], domains: Sequence[Domain], resamples: int = RESAMPLES
) -> list[PairedDifference]:
    """Compare two arms over domains.

    Args:
        runs_a: scores of arm A's runs, one a seed.
        runs_b: scores of arm B's runs, of the same seeds in the same order and over the same documents.
        domains: what to tell the difference of.
        resamples: bootstrap resamples.

    Raises:
        ValueError: when there are fewer than two seeds, or the arms differ in seeds or documents.
    """
    if len(runs_a) != len(runs_b) or len(runs_a) < 2:
        raise ValueError(f"{len(runs_a)} and {len(runs_b)} runs: two arms are compared over equal seeds, at least two")
    scored = score_domains({"a": runs_a, "b": runs_b}, domains, resamples)
    return [_difference(domain, arms["a"], arms["b"]) for domain, arms in zip(domains, scored, strict=True)]


def _difference(domain: Domain, a: DomainScores, b: DomainScores) -> PairedDifference:
    by_seed, replicates = a.by_seed - b.by_seed, a.replicates - b.replicates
    seeds, smallest = len(by_seed), a.smallest
    seed_error, document_error = (float(error) for error in standard_errors(by_seed, replicates, smallest))
    mean = float(by_seed.mean())
    half = float(half_width(seed_error, seeds, document_error, smallest)) if smallest > 1 else None
    needed = None
    if half is not None and abs(mean) <= half:
        needed = seeds_needed(abs(mean), seed_error * math.sqrt(seeds), document_error, smallest)
    low, high = (float(end) for end in bootstrap_interval(replicates))
    return PairedDifference(
        domain=domain.name,
        kind=domain.kind,
        difference=mean,
        low=None if half is None else mean - half,
        high=None if half is None else mean + half,
        by_seed=tuple(float(value) for value in by_seed),
        seed_error=seed_error,
        document_error=document_error if smallest > 1 else None,
        bootstrap_low=low,
        bootstrap_high=high,
        documents=a.documents,
        mean_a=float(a.by_seed.mean()),
        mean_b=float(b.by_seed.mean()),
        seeds_needed=needed,
    )


def bootstrap_interval(replicates: np.ndarray) -> np.ndarray:
    """Return the ends (2, …) of the percentile bootstrap over seeds and documents.

    Args:
        replicates: (resamples, …, seeds) differences over resamples of the documents.
    """
    resamples, *studies, seeds = replicates.shape
    draws = bootstrap_generator(f"seeds {seeds}").multinomial(seeds, [1 / seeds] * seeds, size=resamples)
    drawn = draws.reshape(resamples, *(1 for _ in studies), seeds)
    return np.quantile((replicates * drawn).sum(axis=-1) / seeds, [1 - _UPPER, _UPPER], axis=0)


def standard_errors(by_seed: np.ndarray, replicates: np.ndarray, documents: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the standard errors of the mean over seeds that seeds and documents give; of many studies at once.

    Args:
        by_seed: (…, seeds) differences.
        replicates: (resamples, …, seeds) the same over resamples of the documents.
        documents: of the smallest source; of a single one no error is known, and the second is 0.

    Returns:
        (…,) of the seeds, (…,) of the documents.
    """
    of_seeds = by_seed.std(axis=-1, ddof=1) / math.sqrt(by_seed.shape[-1])
    # Drawing n of n documents shrinks the variance by (n − 1)/n.
    correction = math.sqrt(documents / max(documents - 1, 1))
    return of_seeds, replicates.mean(axis=-1).std(axis=0, ddof=1) * correction


def half_width(
    seed_error: np.ndarray | float, seeds: int, document_error: np.ndarray | float, documents: int
) -> np.ndarray:
    """Return the half-width (…,) of the verdict interval from standard errors (…,)."""
    by_seeds = stats.t.ppf(_UPPER, seeds - 1) * seed_error
    by_documents = stats.t.ppf(_UPPER, documents - 1) * document_error
    return np.hypot(by_seeds, by_documents)


def mean_interval(scores: DomainScores) -> tuple[float, float | None]:
    """Return the mean of an arm's score over seeds and the half-width of its interval, joined as the verdict's is.

    The half-width is None where there is a single document.
    """
    mean = float(scores.by_seed.mean())
    if scores.smallest < 2:
        return mean, None
    of_seeds, of_documents = standard_errors(scores.by_seed, scores.replicates, scores.smallest)
    return mean, float(half_width(of_seeds, len(scores.by_seed), of_documents, scores.smallest))


def detectable_effect(seeds: int, seed_deviation: float, document_error: float = 0.0, documents: int = 1000) -> float:
    """Return the smallest difference (bits per byte) that this many seeds tell from zero with a power of 0.8.

    Args:
        seeds: paired runs, at least 2.
        seed_deviation: standard deviation of a paired difference over seeds.
        document_error: standard error that the documents add.
        documents: held-out documents of the smallest source.
    """
    seed_error = seed_deviation / math.sqrt(seeds)
    chance = stats.t.ppf(POWER, seeds - 1) * math.hypot(seed_error, document_error)
    return float(half_width(seed_error, seeds, document_error, documents) + chance)


def seeds_needed(effect: float, seed_deviation: float, document_error: float, documents: int) -> int | None:
    """Return the fewest seeds that tell `effect` from zero with a power of 0.8, or None if `MOST_SEEDS` would not."""

    def told(seeds: int) -> bool:
        return detectable_effect(seeds, seed_deviation, document_error, documents) <= effect

    if not told(MOST_SEEDS):
        return None
    low, high = 1, MOST_SEEDS  # the detectable effect falls with the seeds: bisect
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if told(middle) else (middle, high)
    return high
