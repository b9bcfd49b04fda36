"""Evaluation of a model on tasks: files in, a `TaskResult` for every task and number of demonstrations out.

What a model answered is kept in `records` by task, number of demonstrations and draw, so that a stopped evaluation goes
on, a larger `limit` asks for the further examples alone, and changed rules for scores ask for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipelines.contamination.evaluation_records import EvaluationSetError, read_records
from pipelines.contamination.evaluation_sets import files_of
from pipelines.progress import Display
from pipelines.store.code_identity import code_identity
from pipelines.store.configuration import ConfigError
from pipelines.store.files import digest_file, join
from pipelines.store.hashing import KeyedHash, sha256_json
from trainer.evaluation.answering import OnExamples, answer, rendered
from trainer.evaluation.evaluated_model import EvaluatedModel
from trainer.evaluation.examples import Example, OpenQuestion, Question, TaskReader
from trainer.evaluation.prompts import Asker, Demonstrations
from trainer.evaluation.record_file import Record, RecordFile
from trainer.evaluation.results import TaskResult, result
from trainer.evaluation.task import Catalogue, TaskSettings

FEW = "few"
Dirty = Mapping[tuple[str, int], bool]
"""Whether a record, by file and line, stands in the training text."""


_ASKED = {"fields", "each", "ranking", "generation", "perplexity"}
_SCORING = {
    "ranking": {"metrics", "normalization", "positive"},
    "generation": {"metrics", "rules", "no_answer"},
}
"""What of a task decides what a model is asked, less what decides how its answers are scored alone."""


@dataclass(frozen=True)
class Asking:
    """How tasks are asked.

    Attributes:
        shots: numbers of demonstrations; `few` is the task's own.
        draws: of demonstrations, at least 1.
        limit: examples of a task, chosen by keyed hash; None takes all.
        unconditional: compare options with their unconditional log-likelihood where a task has one.
    """

    shots: tuple[str, ...] = ("0",)
    draws: int = 1
    limit: int | None = None
    unconditional: bool = False

    def __post_init__(self) -> None:
        for shots in self.shots:
            if shots != FEW and not shots.isdecimal():
                raise ConfigError(f"--shots {shots}: give numbers and `{FEW}`, e.g. 0,1,{FEW}")


@dataclass(frozen=True)
class Set:
    """The examples of a task and what demonstrations are drawn from."""

    name: str
    task: TaskSettings
    reader: TaskReader
    files: tuple[str, ...]
    examples: tuple[Example, ...]
    demonstrations: tuple[str, ...]
    demonstration_files: tuple[str, ...]

    def with_task(self, task: TaskSettings) -> Set:
        """Return the same examples asked and scored in another way."""
        return replace(self, task=task, reader=self.reader.of(task))

    def shots(self, wanted: str) -> int:
        """Return the demonstrations that `wanted` means."""
        return self.task.shots if wanted == FEW else int(wanted)


def open_set(name: str, catalogue: Catalogue, folder: str | None, limit: int | None = None) -> Set:
    """Read the examples of a task; none where it has no file in the folder.

    Raises:
        EvaluationSetError: when a file is damaged or lacks a field.
    """
    task = catalogue.tasks[name]
    entry = catalogue.sets[task.set]
    reader = TaskReader(name, task, _tables(task, folder))
    files, more = (files_of(patterns, folder) for patterns in (entry.files, entry.demonstrations))
    examples = list(reader.read(files, entry.records))
    shown = [rendered(reader, task, example) for example in reader.read(more, entry.records)] if examples else []
    texts = {one.demonstration: None for one in shown if isinstance(one, Question | OpenQuestion)}
    return Set(name, task, reader, tuple(files), tuple(_chosen(examples, limit)), tuple(texts), tuple(more))


def _tables(task: TaskSettings, folder: str | None) -> dict[str, dict[str, Record]]:
    """Return the rows of the task's tables by their keys; a table without a file is left out."""
    tables = {}
    for name, table in task.tables.items():
        if urls := files_of(table.files, folder):
            rows = ((f"{url}: line {line}", row) for url in urls for line, row in read_records(url))
            tables[name] = {_key(place, row, name, table.column): dict(row) for place, row in rows}
    return tables


def _key(place: str, row: Mapping[str, Any], table: str, column: str) -> str:
    if column not in row:
        raise EvaluationSetError(
            f"{place}: there is no {column} (tables.{table}.column); the row has {', '.join(sorted(row))}"
        )
    return str(row[column])


def _chosen(examples: list[Example], limit: int | None) -> list[Example]:
    if limit is None or limit >= len(examples):
        return examples
    keys = KeyedHash(0, "limit").many(f"{example.place} {example.number}".encode() for example in examples)
    return [examples[number] for number in sorted(sorted(range(len(keys)), key=keys.__getitem__)[:limit])]


def evaluate_tasks(
    model: EvaluatedModel,
    sets: Sequence[Set],
    asking: Asking,
    display: Display,
    records: str | None = None,
    dirty: Mapping[str, Dirty] | None = None,
) -> dict[str, dict[str, TaskResult]]:
    """Return {task: {shots: result}}; a task without data, or with no demonstrations for them, has no result.

    Args:
        model: that is asked.
        sets: of the tasks.
        asking: how.
        display: told how it goes.
        records: folder that keeps the answers.
        dirty: by the name of the set, which records stand in the training text; None where nobody looked.
    """
    plan = [(one, shots, _draws(one, shots, asking)) for one in sets for shots in asking.shots]
    display.start("evaluate", sum(len(one.examples) * draws for one, _, draws in plan), "examples")
    done = 0
    results: dict[str, dict[str, TaskResult]] = {one.name: {} for one in sets}
    for one, shots, draws in plan:

        def moved(examples: int, of: str = f"{one.name}, {shots} shots") -> None:
            nonlocal done
            done += examples
            display.move(done, of)

        if one.examples and draws:
            answered = [
                answers(model, one, one.shots(shots), draw, asking.unconditional, records, moved)
                for draw in range(draws)
            ]
            results[one.name][shots] = _result(one, shots, answered, asking.unconditional, dirty)
    display.finish()
    return results


def _draws(one: Set, shots: str, asking: Asking) -> int:
    """Return how many draws there are: one without demonstrations, none where none can be drawn."""
    if one.shots(shots) == 0:
        return 1
    return asking.draws if one.demonstrations and one.task.perplexity is None else 0


def answers(
    model: EvaluatedModel, one: Set, shots: int, draw: int, unconditional: bool, records: str | None, moved: OnExamples
) -> list[Record]:
    """Return the records of a set's examples with one draw of so many demonstrations; see `evaluate_tasks`."""
    generation = one.task.generation
    decoding = (generation.most_tokens, tuple(generation.stop)) if generation else (0, ())
    asker = Asker(model, Demonstrations(one.demonstrations, shots, draw), unconditional, *decoding)
    origin = {
        "weights": model.identity,
        "context": model.context,
        "task": one.task.model_dump(include=_ASKED, exclude=_SCORING),
        "files": [digest_file(url).sha256 for url in one.files],
        "demonstrations": [digest_file(url).sha256 for url in one.demonstration_files] if shots else [],
        "shots": shots,
        "draw": draw,
        "unconditional": unconditional,
        "code": code_identity("trainer.evaluation.answering", "trainer.evaluation.checkpoint"),
    }
    name = f"{shots}-{draw}-{sha256_json(origin)[:16]}.jsonl"
    file = RecordFile(join(records, one.name, name) if records else None, origin)
    return answer(model, asker, one.reader, one.task, one.examples, file, moved)


def _result(
    one: Set,
    shots: str,
    draws: Sequence[Sequence[Record]],
    unconditional: bool,
    dirty: Mapping[str, Dirty] | None,
) -> TaskResult:
    by_example = [one.reader.groups(example) for example in one.examples]
    groups = {group: [values[group] for values in by_example] for group in (by_example[0] if by_example else {})}
    together = [one.reader.together(example) for example in one.examples]
    found = None if dirty is None else dirty.get(one.task.set)
    flags = None if found is None else np.array([found[example.file, example.line] for example in one.examples])
    return result(
        one.name, one.task, draws, groups, together, one.shots(shots), unconditional, one.reader.classes, flags
    )
