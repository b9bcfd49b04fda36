"""Scores of arms by domain, as they are and over resamples of the documents.

In: for each arm and seed (run), for each held-out source, the bits and the bytes of every document; all runs scored the
same documents. Out: for each domain and arm the bits per byte of every seed. A source's score is Σ bits / Σ bytes over
its documents; a domain's score is the mean over its sources, without those of a single document, unless it has no
other: one document says nothing about others, so it would leave the whole domain without an interval. The documents
that a resample draws are the same for all arms, so that differences of arms are paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainer.evaluation.intervals import bootstrap_generator

RESAMPLES = 2000
_CELLS_AT_ONCE = 1 << 21


@dataclass(frozen=True)
class DocumentScores:
    """What one run gave the documents of one source.

    Attributes:
        bits: float64[documents], −log2 of the probability of each document.
        bytes: int64[documents], length of each document in UTF-8.
    """

    bits: np.ndarray
    bytes: np.ndarray

    @property
    def bits_per_byte(self) -> float:
        """The source's score."""
        return float(self.bits.sum() / self.bytes.sum())


RunScores = Mapping[str, DocumentScores]
"""The scores of one run by source."""


@dataclass(frozen=True)
class Domain:
    """A name for the mean over some held-out sources; `kind` is `curated`, `component`, `source` or `out of domain`."""

    name: str
    kind: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class DomainScores:
    """What the runs of an arm score in a domain.

    Attributes:
        by_seed: float64[seeds], bits per byte.
        replicates: float64[resamples, seeds], the same over resamples of the documents.
        documents: of the domain.
        smallest: documents of its smallest source.
    """

    by_seed: np.ndarray
    replicates: np.ndarray
    documents: int
    smallest: int


def score_domains(
    runs: Mapping[str, Sequence[RunScores]], domains: Sequence[Domain], resamples: int = RESAMPLES
) -> list[dict[str, DomainScores]]:
    """Score arms in domains.

    Args:
        runs: by arm, one a seed.
        domains: what to score.
        resamples: of the documents.

    Returns:
        For each domain the scores by arm.

    Raises:
        ValueError: when runs scored different documents.
    """
    sources = sorted({source for domain in domains for source in domain.sources})
    found = {source: _score_source(source, runs, resamples) for source in sources}
    told = {source for source, arms in found.items() if all(scores.documents > 1 for scores in arms.values())}
    chosen = [[source for source in domain.sources if source in told] or domain.sources for domain in domains]
    return [{arm: _mean([found[source][arm] for source in of_domain]) for arm in runs} for of_domain in chosen]


def _score_source(source: str, runs: Mapping[str, Sequence[RunScores]], resamples: int) -> dict[str, DomainScores]:
    every = [run[source] for of_arm in runs.values() for run in of_arm]
    lengths = every[0].bytes
    if not all(np.array_equal(run.bytes, lengths) for run in every):
        raise ValueError(f"source {source}: the runs scored different documents and cannot be paired")
    bits = np.stack([run.bits for run in every])
    by_run, replicates = bits.sum(axis=1) / lengths.sum(), resample(source, bits, lengths, resamples)
    scores, start = {}, 0
    for arm, of_arm in runs.items():
        part = slice(start, start + len(of_arm))
        scores[arm] = DomainScores(by_run[part], replicates[:, part], len(lengths), len(lengths))
        start = part.stop
    return scores


def _mean(sources: Sequence[DomainScores]) -> DomainScores:
    return DomainScores(
        by_seed=np.mean([scores.by_seed for scores in sources], axis=0),
        replicates=np.mean([scores.replicates for scores in sources], axis=0),
        documents=sum(scores.documents for scores in sources),
        smallest=min(scores.smallest for scores in sources),
    )


def resample(source: str, bits: np.ndarray, lengths: np.ndarray, resamples: int) -> np.ndarray:
    """Return Σ bits / Σ bytes over documents drawn with replacement.

    Args:
        source: fixes what is drawn.
        bits: (runs, documents).
        lengths: (documents,) bytes.
        resamples: how many.

    Returns:
        (resamples, runs).
    """
    documents = len(lengths)
    generator = bootstrap_generator(f"documents {source}")
    columns = np.column_stack([bits.T, lengths.astype(np.float64)])
    parts = []
    step = max(1, _CELLS_AT_ONCE // documents)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = generator.integers(0, documents, (rows, documents)) + np.arange(rows)[:, None] * documents
        times = np.bincount(drawn.ravel(), minlength=rows * documents).reshape(rows, documents)
        sums = times @ columns
        parts.append(sums[:, :-1] / sums[:, -1:])
    return np.concatenate(parts)
