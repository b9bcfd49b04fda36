"""Scores of tasks as a report shows them: a row for each metric, beside what it is to be compared with.

In: RUN/evaluation/summary.json, which `glam evaluate` leaves. Out: rows of plain values, and the means over tasks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipelines.store.files import exists, join, read_json

MODELS = ("glam", "gpt3")


def task_scores(run_dir: str, arm: str) -> dict[str, list[dict[str, Any]]] | None:
    """Return {"rows", "means"} of a run of an arm; None where no task was scored."""
    path = join(run_dir, "evaluation", "summary.json")
    summary = read_json(path) if exists(path) else {"tasks": {}, "means": {}}
    rows = [row for name, task in summary["tasks"].items() for row in _rows(name, task, arm)]
    of_shots = summary["means"].items()
    means = [
        {
            "arm": arm,
            "name": name,
            "shots": shots,
            **mean,
            "reference": {model: mean["reference"].get(model) for model in MODELS},
        }
        for shots, by_name in of_shots
        for name, mean in by_name.items()
    ]
    return {"rows": rows, "means": means} if rows else None


def _rows(name: str, task: dict[str, Any], arm: str) -> Iterator[dict[str, Any]]:
    for entry in task.get("by_shots", {"": task}).values():
        for metric, figure in entry.get("metrics", {}).items():
            is_score = metric == task["metric"]
            published = entry["reference"].get(metric, {})
            yield {
                "arm": arm,
                "task": name,
                "metric": metric,
                "shots": entry["shots"],
                "figure": figure,
                "chance": entry["chance"] if is_score else None,
                "majority": entry["majority"] if is_score else None,
                "dirty": entry["dirty"] / entry["n"] * 100 if is_score and entry["dirty"] is not None else None,
                "clean": entry["clean"]["score"] if is_score and entry["clean"] else None,
                "published": {model: published[model]["score"] if model in published else None for model in MODELS},
            }
