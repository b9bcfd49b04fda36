"""Language modelling in and out of domain, and what routers do there: figures by component, quality and language.

In: the records of documents (`trainer.evaluation.language_modelling`) with their source and labels. Out: plain values
(docs/formats.md, "Domains"): for every bucket of documents bits per byte, perplexity per token and per word with
bootstrap intervals over documents, and the load of the experts, drops and entropy of the routers by mixture layer.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from quality_filter.sampling import SCORE_UNITS
from trainer.evaluation.expert_load import load_of, moved_share, per_token
from trainer.evaluation.heldout_documents import Labels
from trainer.evaluation.metrics import Score, bits, perplexity
from trainer.evaluation.record_file import Record
from trainer.evaluation.results import figure_over

QUALITY_BUCKETS = 4
UNSCORED = "unscored"
_UNITS = ("nats", "tokens", "words", "bytes")
_SCORES: dict[str, Score] = {
    "bits_per_byte": lambda sums: bits(sums[..., 0], sums[..., 3]),
    "token_perplexity": lambda sums: perplexity(sums[..., 0], sums[..., 1]),
    "word_perplexity": lambda sums: perplexity(sums[..., 0], sums[..., 2]),
}


@dataclass(frozen=True)
class Entry:
    """A document that was read: its record, where it is from, and what the pipeline says of it (if that is known)."""

    record: Record
    source: str
    component: str
    out_of_domain: bool
    labels: Labels | None = None


def domain_figures(entries: Sequence[Entry]) -> dict[str, Any]:
    """Return the figures of all buckets; a bucket without documents is left out."""
    inside = [entry for entry in entries if not entry.out_of_domain]
    edges = quality_edges([entry.labels.score for entry in inside if entry.labels and entry.labels.score is not None])
    records = [entry.record for entry in inside]
    whole = load_of(records) if _routed(records) else None

    def by(of: Callable[[Entry], str | None], among: Iterable[Entry] = inside) -> dict[str, Any]:
        groups: dict[str, list[Entry]] = {}
        for entry in among:
            if (name := of(entry)) is not None:
                groups.setdefault(name, []).append(entry)
        return {name: _bucket(name, own, whole) for name, own in sorted(groups.items())}

    def quality(entry: Entry) -> str | None:
        return None if entry.labels is None else quality_bucket(entry.labels.score, edges)

    components = sorted({entry.component for entry in inside})
    crossed = {name: by(quality, [entry for entry in inside if entry.component == name]) for name in components}
    return {
        "in_domain": _bucket("in domain", inside, whole) if inside else None,
        "component": by(lambda entry: entry.component),
        "quality": by(quality),
        "language": by(lambda entry: entry.labels.language if entry.labels else None),
        "component_quality": {name: buckets for name, buckets in crossed.items() if buckets},
        "out_of_domain": by(lambda entry: entry.source, [entry for entry in entries if entry.out_of_domain]),
        "scores": _score_ranges(inside, edges),
        "unscored": sorted({entry.component for entry in inside if quality(entry) == UNSCORED}),
    }


def quality_edges(scores: Sequence[int]) -> list[int]:
    """Return the least score of every bucket but the first: quantiles of the scores, the worst documents first."""
    ordered = sorted(scores)
    return (
        [ordered[len(ordered) * number // QUALITY_BUCKETS] for number in range(1, QUALITY_BUCKETS)] if ordered else []
    )


def quality_bucket(score: int | None, edges: Sequence[int]) -> str:
    """Return the name of the bucket of a score: `1 of 4` has the lowest; equal scores are in one bucket."""
    return UNSCORED if score is None else f"{bisect_right(edges, score) + 1} of {QUALITY_BUCKETS}"


def _score_ranges(entries: Iterable[Entry], edges: Sequence[int]) -> dict[str, list[float]]:
    """Return the least and the greatest score, 0 to 1, of every bucket."""
    found: dict[str, list[int]] = {}
    for entry in entries:
        if entry.labels and entry.labels.score is not None:
            found.setdefault(quality_bucket(entry.labels.score, edges), []).append(entry.labels.score)
    return {name: [min(own) / SCORE_UNITS, max(own) / SCORE_UNITS] for name, own in sorted(found.items())}


def _bucket(name: str, entries: Sequence[Entry], whole: np.ndarray | None) -> dict[str, Any]:
    records = [entry.record for entry in entries]
    columns = np.array([[record[unit] for unit in _UNITS] for record in records], np.float64)
    numbers = np.arange(len(records))
    _, tokens, words, size = columns.sum(axis=0).astype(np.int64).tolist()
    figures = {
        metric: asdict(figure_over(f"domains {name}", [(columns, score)], numbers)) for metric, score in _SCORES.items()
    }
    told = {"documents": len(records), "tokens": tokens, "words": words, "bytes": size, **figures}
    return told | {"routing": _routing(records, tokens, whole)}


def _routing(records: Sequence[Record], tokens: int, whole: np.ndarray | None) -> dict[str, Any] | None:
    """Return what the routers did, by layer; None of a dense model."""
    if not _routed(records):
        return None
    load = load_of(records)
    return {
        "load": _rounded(load),
        "moved": None if whole is None else _rounded(moved_share(load, whole)),
        "dropped": _rounded(per_token(records, "dropped", tokens)),
        "entropy": _rounded(per_token(records, "entropy", tokens)),
    }


def _routed(records: Sequence[Record]) -> bool:
    return bool(records) and "load" in records[0]


def _rounded(values: np.ndarray) -> Any:
    return np.round(values, 6).tolist()
