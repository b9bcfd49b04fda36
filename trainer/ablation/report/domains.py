"""Language modelling by domain as a report shows it: bits, perplexities, and the load of the experts by layer.

In: RUN/evaluation/domains.json, which `glam evaluate --tasks domains` leaves. Out: rows of plain values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.store.files import exists, join, read_json

FIGURES = ("bits_per_byte", "token_perplexity", "word_perplexity")
Bucket = Mapping[str, Any]


def domain_scores(run_dir: str, arm: str) -> dict[str, Any] | None:
    """Return {"arm", "context", "stride", "rows", "layers", "scores", "unscored"} of a run; None where it was not asked
    for.

    A row is a bucket with its `name`; a layer has its number, drops are shares of tokens, loads in units of an even
    share.
    """
    path = join(run_dir, "evaluation", "domains.json")
    if not exists(path):
        return None
    report = read_json(path)
    buckets = list(named_buckets(report))
    rows = [
        {"name": name, "documents": one["documents"], **{key: one[key] for key in FIGURES}} for name, one in buckets
    ]
    layers = [_layer(number, layer, report["experts"], buckets) for number, layer in enumerate(report["layers"])]
    told = {key: report[key] for key in ("context", "stride", "scores", "unscored")}
    return {"arm": arm, "rows": rows, "layers": layers, **told}


def named_buckets(report: Mapping[str, Any]) -> Iterator[tuple[str, Bucket]]:
    """Yield every bucket of a report with its name, in the order that they are shown in."""
    if report["in_domain"]:
        yield "in domain", report["in_domain"]
    for kind in ("component", "quality", "language"):
        for name, bucket in report[kind].items():
            yield f"{kind} {name}", bucket
    for component, buckets in report["component_quality"].items():
        for name, bucket in buckets.items():
            if len(buckets) > 1:  # else the bucket is the component
                yield f"{component}, quality {name}", bucket
    for name, bucket in report["out_of_domain"].items():
        yield f"out of domain: {name}", bucket


def _layer(number: int, layer: int, experts: int, buckets: list[tuple[str, Bucket]]) -> dict[str, Any]:
    rows = [
        {
            "name": name,
            "loads": [share * experts for share in bucket["routing"]["load"][number]],
            "moved": bucket["routing"]["moved"][number] if bucket["routing"]["moved"] else None,
            "dropped": bucket["routing"]["dropped"][number],
            "entropy": bucket["routing"]["entropy"][number],
        }
        for name, bucket in buckets
    ]
    return {"layer": layer, "rows": rows}
