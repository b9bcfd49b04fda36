"""From records to the figures of a task: scores with intervals, beside chance, the majority and the clean examples.

In: the records of one or several draws of demonstrations. Out: a `TaskResult`. Over several draws a score is the mean,
its interval that of the mean over the same resampled examples; `deviation` tells how the draws differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from trainer.evaluation.intervals import bootstrap, percentile_interval
from trainer.evaluation.metrics import (
    Choices,
    Columns,
    Score,
    generation_metric,
    option_scores,
    perplexity_metric,
    ranking_metric,
)
from trainer.evaluation.record_file import Record
from trainer.evaluation.task import TaskSettings


@dataclass(frozen=True)
class Figure:
    """A score and its 95 % interval over `n` examples; `deviation` is the standard deviation over draws, if several."""

    score: float
    low: float | None
    high: float | None
    n: int
    deviation: float | None = None


@dataclass(frozen=True)
class TaskResult:
    """What a task came to with so many demonstrations.

    Attributes:
        shots: demonstrations.
        draws: of them.
        metrics: by name; the first is the task's score.
        chance: what equal shares for all options score; None without options.
        majority: what the commonest right option scores, where all questions have the same options.
        groups: the score by the values of the task's groups: {group: {value: Figure}}.
        gaps: the score of one value of a group less that of another: {group: Figure}.
        ties: questions whose credit several options share (mean of the draws).
        dropped: demonstrations that had no room, over all examples (mean of the draws).
        truncated: examples that lost their beginning (mean of the draws).
        dirty: examples that stand in the training text; None where nobody looked.
        clean: the score of the others.
    """

    shots: int
    draws: int
    metrics: dict[str, Figure]
    chance: float | None = None
    majority: float | None = None
    groups: dict[str, dict[str, Figure]] = field(default_factory=dict)
    gaps: dict[str, Figure] = field(default_factory=dict)
    ties: float = 0
    dropped: float = 0
    truncated: float = 0
    dirty: int | None = None
    clean: Figure | None = None

    @property
    def figure(self) -> Figure:
        """The task's score."""
        return next(iter(self.metrics.values()))

    def to_json(self) -> dict[str, Any]:
        """Return plain values: the score's own beside the rest."""
        return asdict(self.figure) | asdict(self)


def result(
    name: str,
    task: TaskSettings,
    draws: Sequence[Sequence[Record]],
    groups: Mapping[str, Sequence[str]],
    together: Sequence[str],
    shots: int = 0,
    unconditional: bool = False,
    classes: bool = False,
    dirty: np.ndarray | None = None,
) -> TaskResult:
    """Make the figures of a task.

    Args:
        name: of the task; it fixes the bootstrap.
        task: its settings.
        draws: the records of each draw, of the same examples in the same order.
        groups: the value of each example by the name of the group.
        together: of each example; those of one value are resampled together.
        shots: demonstrations.
        unconditional: whether options are compared with their unconditional log-likelihood, where the task has one.
        classes: whether all questions have the same options.
        dirty: (examples,) bool, which stand in the training text.
    """
    records = draws[0]
    passages = np.unique(together, return_inverse=True)[1]
    measured = {metric: [columns_of(metric, task, one, unconditional) for one in draws] for metric in task.metrics}
    figures = {metric: figure_over(f"{name} {metric}", made, passages) for metric, made in measured.items()}
    main = task.metrics[0]
    of_groups = {
        group: {
            value: figure_over(f"{name} {group} {value}", measured[main], passages, np.array(values) == value)
            for value in sorted(set(values))
        }
        for group, values in groups.items()
    }
    gaps = {
        group: _gap(f"{name} {group}", measured[main], passages, [np.array(groups[group]) == value for value in pair])
        for group, pair in task.gaps.items()
        if set(pair) <= set(groups.get(group, ()))
    }
    choices = _choices(task, records, unconditional)
    return TaskResult(
        shots=shots,
        draws=len(draws),
        metrics=figures,
        chance=_at_chance(main, task, choices),
        majority=_of_majority(main, task, choices) if classes else None,
        groups=of_groups,
        gaps=gaps,
        ties=float(np.mean([_ties(_choices(task, one, unconditional)) for one in draws])),
        dropped=float(np.mean([sum(record["dropped"] for record in one) for one in draws])),
        truncated=float(np.mean([sum(record["truncated"] for record in one) for one in draws])),
        dirty=None if dirty is None else int(dirty.sum()),
        clean=None if dirty is None or dirty.all() else figure_over(f"{name} clean", measured[main], passages, ~dirty),
    )


def columns_of(
    metric: str, task: TaskSettings, records: Sequence[Record], unconditional: bool
) -> tuple[Columns, Score]:
    """Return the columns of a metric and the score that their sums make."""
    if task.generation is not None:
        return generation_metric(metric, task.generation, records)
    choices = _choices(task, records, unconditional)
    if choices is None or task.ranking is None:
        return perplexity_metric(metric, records)
    return ranking_metric(metric, choices, task.ranking.positive)


def _choices(task: TaskSettings, records: Sequence[Record], unconditional: bool) -> Choices | None:
    if task.ranking is None:
        return None
    scores = [option_scores(record, task.ranking, unconditional) for record in records]
    return Choices.of(scores, [record["gold"] for record in records])


def _ties(choices: Choices | None) -> int:
    return sum(int(shares.max() < 1) for shares in choices.shares) if choices is not None else 0


def figure_over(
    purpose: str, draws: Sequence[tuple[Columns, Score]], groups: np.ndarray, chosen: np.ndarray | None = None
) -> Figure:
    """Return the mean score over draws of the chosen examples, and its interval.

    Args:
        purpose: fixes the bootstrap.
        draws: columns (examples, columns) and the score of their sums, of each draw.
        groups: (examples,) those of one value are resampled together.
        chosen: (examples,) bool; all if None.
    """
    rows = np.ones(len(groups), bool) if chosen is None else chosen
    _, numbers = np.unique(groups[rows], return_inverse=True)
    scores = np.array([float(score(columns[rows].sum(axis=0))) for columns, score in draws])
    deviation = float(scores.std(ddof=1)) if len(scores) > 1 else None
    if numbers.max() == 0:  # a single passage tells nothing of others
        return Figure(float(scores.mean()), None, None, int(rows.sum()), deviation)
    replicates = [bootstrap(purpose, columns[rows], numbers, score) for columns, score in draws]
    low, high = percentile_interval(np.mean(replicates, axis=0))
    return Figure(float(scores.mean()), low, high, int(rows.sum()), deviation)


def _gap(
    purpose: str, draws: Sequence[tuple[Columns, Score]], groups: np.ndarray, of_pair: Sequence[np.ndarray]
) -> Figure:
    """Return the score of some examples less that of others, over the same resamples of all."""

    def joined(columns: Columns) -> Columns:
        return np.concatenate([columns * chosen[:, None] for chosen in of_pair], axis=1)

    def difference(score: Score) -> Score:
        return lambda sums: np.subtract(*(score(part) for part in np.split(sums, 2, axis=-1)))

    return figure_over(purpose, [(joined(columns), difference(score)) for columns, score in draws], groups)


def _at_chance(metric: str, task: TaskSettings, choices: Choices | None) -> float | None:
    if choices is None or task.ranking is None:
        return None
    even = Choices.of([np.zeros(len(shares)) for shares in choices.shares], choices.gold)
    return _score(metric, even, task.ranking.positive)


def _of_majority(metric: str, task: TaskSettings, choices: Choices | None) -> float | None:
    """Return what always choosing the commonest right option scores, where options are classes."""
    if choices is None or task.ranking is None:
        return None
    commonest = Counter(gold[0] for gold in choices.gold).most_common()
    number = min(option for option, count in commonest if count == commonest[0][1])
    same = Choices.of([np.eye(len(shares))[number] for shares in choices.shares], choices.gold)
    return _score(metric, same, task.ranking.positive)


def _score(metric: str, choices: Choices, positive: int) -> float:
    columns, score = ranking_metric(metric, choices, positive)
    return float(score(columns.sum(axis=0)))
