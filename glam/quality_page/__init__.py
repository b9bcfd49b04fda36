"""The page that `glam quality evaluate` writes: figures of pipelines.quality_evaluation in, one HTML file out.

It has the style and parts of the reports, needs nothing else and sends no request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.store.files import write_bytes
from quality_filter.classifier import SCORE_UNITS
from trainer.ablation.report.charts import BOX, histogram
from trainer.ablation.report.page import render_template

GROUPINGS = (
    ("sources", "source", "A classifier that learned sources has means near 0 or 1 and little between."),
    ("hosts", "host", "The twenty hosts with most documents."),
    ("languages", "language", "A language that has documents of one class alone is easily taken for quality."),
    ("lengths", "shortest, in characters", "Each length class begins there and ends where the next one begins."),
)
ROWS_SHOWN = 20


def write_page(answer: Mapping[str, Any], title: str, url: str) -> None:
    """Render the figures and write them to `url`."""
    write_bytes(url, render(answer, title).encode())


def render(answer: Mapping[str, Any], title: str) -> str:
    """Return the page as HTML."""
    judged = [(name, answer[name]) for name in ("heldout", "cross_fitted") if "auc" in answer[name]]
    histograms = [
        {"source": source, "documents": sum(counts), "bars": histogram(counts)}
        for source, counts in answer["histogram"].items()
        if sum(counts)
    ]
    groupings = [{"name": name, "what": what, "note": note, "rows": answer[name]} for name, what, note in GROUPINGS]
    pages = [
        (heading, [page | {"share": page["score"] / SCORE_UNITS} for page in answer[name]])
        for heading, name in (
            ("Negatives of the highest scores", "top_negatives"),
            ("Negatives of the lowest scores", "bottom_negatives"),
            ("Positives of the lowest scores", "bottom_positives"),
        )
    ]
    return render_template(
        "quality.html.j2",
        __package__,
        title=title,
        judged=[(name, figures, reliability_points(figures["reliability"])) for name, figures in judged],
        histograms=histograms,
        groupings=groupings,
        rows_shown=ROWS_SHOWN,
        left_out=answer["left_out"],
        pages=pages,
    )


def reliability_points(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the places of the reliability diagram's points in the box: promised across, found up."""
    return [
        {
            "x": round(BOX * row["mean_probability"], 1),
            "y": round(BOX * (1 - row["positive_share"]), 1),
            "documents": row["documents"],
            "promised": row["mean_probability"],
            "found": row["positive_share"],
        }
        for row in rows
        if row["documents"]
    ]
