"""Plain means over tasks, as the paper makes them: over all, over generative and over ranking tasks, by category.

The published generative mean is over nine columns, SQuADv2 counting with F1 and with EM, and so is that over all 30;
both are made, with one column for SQuADv2 too. A mean says how many of its columns there were data for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trainer.evaluation.results import TaskResult
from trainer.evaluation.task import Catalogue, TaskSettings

Column = tuple[str, str]
"""A task and one of its metrics."""

TWO_COLUMNS = "squadv2"


@dataclass(frozen=True)
class Mean:
    """A mean over `columns` of the `of` that there are."""

    score: float
    columns: int
    of: int


def means(results: Mapping[str, Mapping[str, TaskResult]], shots: str, catalogue: Catalogue) -> dict[str, Mean]:
    """Return the means of results with `shots` demonstrations, by name; one without any column is left out.

    Names: `nlg_9`, `nlg_8`, `nlu`, `all_30`, `all_29`, and the categories; the tasks are those of the suites `nlg` and
    `nlu`.
    """
    nlg, nlu = (
        [(name, catalogue.tasks[name].metrics[0]) for name in catalogue.suites[suite].tasks]
        if suite in catalogue.suites
        else []
        for suite in ("nlg", "nlu")
    )
    again = [(name, metric) for name, _ in nlg if name == TWO_COLUMNS for metric in catalogue.tasks[name].metrics[1:]]
    wanted: dict[str, list[Column]] = {
        "nlg_9": nlg + again,
        "nlg_8": nlg,
        "nlu": nlu,
        "all_30": nlg + again + nlu,
        "all_29": nlg + nlu,
    }
    for name, metric in nlg + nlu:
        category = catalogue.tasks[name].category
        if category is not None:
            wanted.setdefault(category, []).append((name, metric))
    made = {name: _mean(columns, results, shots) for name, columns in wanted.items()}
    return {name: mean for name, mean in made.items() if mean is not None}


def _mean(columns: list[Column], results: Mapping[str, Mapping[str, TaskResult]], shots: str) -> Mean | None:
    scores = [results[name][shots].metrics[metric].score for name, metric in columns if shots in results.get(name, {})]
    return Mean(sum(scores) / len(scores), len(scores), len(columns)) if scores else None


def reference(task: TaskSettings, metric: str, shots: str) -> dict[str, dict[str, float | str]]:
    """Return published scores of a metric: {model: {score, read}}."""
    models = task.reference.get(metric, {})
    found = {model: scores.of(shots) for model, scores in models.items()}
    return {model: score.model_dump() for model, score in found.items() if score is not None}
