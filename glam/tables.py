"""Tables for people, on stderr."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from pipelines.store.stages import FinishedStage


def _table(title: str, columns: Iterable[str], numeric_from: int) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for position, column in enumerate(columns):
        table.add_column(column, justify="right" if position >= numeric_from else "left", no_wrap=True)
    return table


def _print(table: Table) -> None:
    Console(stderr=True, highlight=False).print(table)


def stage_table(stages: Iterable[FinishedStage]) -> None:
    """Print seconds and CPU seconds by stage; what was found in the store shows what it took when it was computed."""
    table = _table("Stages", ("stage", "this time", "seconds", "CPU seconds"), 2)
    totals: dict[str, list[float]] = {}
    for stage in stages:
        side = stage.manifest["side"]
        entry = totals.setdefault(stage.stage, [0, 0, 0.0, 0.0])
        entry[0] += 1
        entry[1] += stage.reused
        entry[2] += side["seconds"]
        entry[3] += side["cpu_seconds"]
    for name, (count, reused, seconds, cpu_seconds) in totals.items():
        state = (
            "found"
            if reused == count
            else "computed"
            if not reused
            else f"{count - reused:.0f} of {count:.0f} computed"
        )
        table.add_row(name, state, f"{seconds:.1f}", f"{cpu_seconds:.1f}")
    _print(table)


def task_table(tasks: Mapping[str, Mapping[str, Any]]) -> None:
    """Print scores with intervals."""
    table = _table("Scores", ("task", "score", "low", "high", "documents"), 1)
    for name, task in tasks.items():
        table.add_row(name, f"{task['score']:.4f}", f"{task['low']:.4f}", f"{task['high']:.4f}", f"{task['n']:,}")
    _print(table)


def store_table(answer: Mapping[str, Any]) -> None:
    """Print what a store holds, on stdout."""
    console = Console(highlight=False)
    table = _table("Dataset versions", ("id", "name", "configuration", "created", "training tokens"), 4)
    for version in answer["versions"]:
        created = version["created"].replace("+00:00", "Z")
        table.add_row(version["id"], version["name"], version["config"], created, f"{version['tokens']:,}")
    console.print(table)
    if answer["studies"]:
        studies = _table("Studies", ("id", "name", "created"), 3)
        for study in answer["studies"]:
            studies.add_row(study["id"], study["name"], study["created"].replace("+00:00", "Z"))
        console.print(studies)
