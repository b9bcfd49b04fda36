"""Tables of scores, on stderr."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glam.printing import new_table, print_note


def task_table(tasks: Mapping[str, Mapping[str, Any]]) -> None:
    """Print scores with intervals."""
    table = new_table("Scores", ("task", "score", "low", "high", "documents"), 1)
    for name, task in tasks.items():
        interval = ("-" if task[side] is None else f"{task[side]:.4f}" for side in ("low", "high"))
        table.add_row(name, f"{task['score']:.4f}", *interval, f"{task['n']:,}")
    print_note(table)


def score_table(tasks: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the scores of tasks, in percent, beside what they are to be compared with."""
    columns = (
        "task",
        "metric",
        "shots",
        "score",
        "low",
        "high",
        "n",
        "chance",
        "majority",
        "dirty",
        "clean",
        "GLaM",
        "GPT-3",
    )
    table = new_table("Tasks", columns, 2)
    for name, task in tasks.items():
        for entry in task.get("by_shots", {"": task}).values():
            if entry["score"] is None:
                table.add_row(name, entry["reason"])
                continue
            for metric, figure in entry["metrics"].items():
                table.add_row(name, metric, *_score_cells(entry, figure, metric == task["metric"], metric))
            for group, values in entry["groups"].items():
                for value, figure in values.items():
                    table.add_row(f"  {group} {value}", "", "", *_figure_cells(figure))
                if group in entry["gaps"]:
                    table.add_row(f"  {group} gap", "", "", *_figure_cells(entry["gaps"][group]))
    print_note(table)


def _score_cells(entry: Mapping[str, Any], figure: Mapping[str, Any], is_score: bool, metric: str) -> list[str]:
    shots = f"{entry['shots']} x {entry['draws']} draws" if entry["draws"] > 1 else str(entry["shots"])
    beside = [_tenths(entry[key]) if is_score else "" for key in ("chance", "majority")]
    share = None if entry["dirty"] is None else 100 * entry["dirty"] / entry["n"]
    clean = entry["clean"]["score"] if entry["clean"] else None
    dirty = [f"{share:.1f} %" if share is not None else "-", _tenths(clean)] if is_score else ["", ""]
    published = entry["reference"].get(metric, {})
    references = [_tenths(published[model]["score"]) if model in published else "-" for model in ("glam", "gpt3")]
    return [shots, *_figure_cells(figure), *beside, *dirty, *references]


def _figure_cells(figure: Mapping[str, Any]) -> list[str]:
    spread = "" if figure["deviation"] is None else f" ±{figure['deviation']:.1f}"
    return [_tenths(figure["score"]) + spread, *(_tenths(figure[side]) for side in ("low", "high")), f"{figure['n']:,}"]


def _tenths(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.1f}"


def mean_table(means: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    """Print means over tasks beside the published ones."""
    table = new_table("Means", ("mean", "shots", "score", "columns", "GLaM", "GPT-3"), 1)
    for shots, by_name in means.items():
        for name, mean in by_name.items():
            references = (_tenths(mean["reference"].get(model)) for model in ("glam", "gpt3"))
            table.add_row(name, shots, _tenths(mean["score"]), f"{mean['columns']} of {mean['of']}", *references)
    if table.rows:
        print_note(table)
