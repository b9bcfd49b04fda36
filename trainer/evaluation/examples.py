"""From the records of a set to examples, rendered: what a model is asked, and what is right.

In: a task and the files of its set. Out: `Example`s in the order of the files; each renders to a `Question` (options
in their contexts), an `OpenQuestion` (a context and right answers) or a `Text`. A record that lacks a field, or whose
answer fits no option, stops the work with file, line and field.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jinja2 import TemplateError

from pipelines.contamination.evaluation_records import (
    EvaluationSetError,
    Record,
    Step,
    file_name,
    read_records,
    values_at,
)
from trainer.evaluation.task import TaskSettings
from trainer.evaluation.templates import Compiled, expression, template


@dataclass(frozen=True)
class Question:
    """A question with options.

    Attributes:
        contexts: for each option the text before its continuation.
        continuations: for each option.
        unconditional: for each option the context of its unconditional log-likelihood, if the task has one.
        gold: numbers of the right options; none where nothing is right.
    """

    contexts: tuple[str, ...]
    continuations: tuple[str, ...]
    unconditional: tuple[str, ...]
    gold: tuple[int, ...]

    @property
    def demonstration(self) -> str:
        """The first right option in its context."""
        return self.contexts[self.gold[0]] + self.continuations[self.gold[0]]


@dataclass(frozen=True)
class OpenQuestion:
    """A question that is answered in words: `answers` are right; `target` is how a demonstration goes on."""

    context: str
    target: str
    answers: tuple[Any, ...]

    @property
    def demonstration(self) -> str:
        """The context and its answer."""
        return self.context + self.target


@dataclass(frozen=True)
class Text:
    """A text whose likelihood is asked for."""

    text: str


@dataclass(frozen=True)
class Example:
    """One example of a task.

    Attributes:
        number: from 0, in the order of the files.
        file: name of its file.
        line: of its record (from 1); examples of one record belong together.
        values: of the fields.
    """

    number: int
    file: str
    line: int
    values: dict[str, Any]

    @property
    def place(self) -> str:
        """Where it stands, for errors and keys."""
        return f"{self.file}: line {self.line}"


class TaskReader:
    """Reads and renders the examples of one task.

    Args:
        name: of the task, for errors.
        task: its settings.
        tables: {name: {key: row}} of those of its tables that there are.

    Raises:
        ConfigError: when a template is refused.
    """

    def __init__(self, name: str, task: TaskSettings, tables: Mapping[str, Mapping[str, Record]] | None = None) -> None:
        self._name, self._task, self._tables = name, task, tables or {}
        self._each: list[Step] = list(task.each.split(".")) if task.each else []
        self._paths: dict[str, list[Step]] = {field: list(path.split(".")) for field, path in task.fields.items()}
        self._names = {*task.fields, "index"}

    @property
    def classes(self) -> bool:
        """Whether all questions have the same options."""
        return self._task.ranking is not None and not self._ranking["options"].uses

    def of(self, task: TaskSettings) -> TaskReader:
        """Return a reader for another way of asking the same examples."""
        return TaskReader(self._name, task, self._tables)

    def read(self, urls: Iterable[str], records: str) -> Iterator[Example]:
        """Yield the examples of files.

        Raises:
            EvaluationSetError: when a file is damaged or a field is missing.
        """
        number = 0
        for url in urls:
            for line, record in read_records(url, records):
                for bound in _bound(record, self._each):
                    values = {name: self._value(url, line, record, name, bound) for name in self._paths}
                    indices = [step for step in bound if isinstance(step, int)]
                    yield Example(number, file_name(url), line, values | {"index": indices[-1] if indices else 0})
                    number += 1

    def _value(self, url: str, line: int, record: Record, name: str, bound: list[Step]) -> Any:
        path = _through(self._paths[name], self._each, bound)
        found = list(values_at(record, path))
        if "*" in path:
            return found
        if not found:
            raise EvaluationSetError(
                f"{url}: line {line}: there is no {'.'.join(map(str, path))} ({self._name}: fields.{name}); the record "
                f"has the keys {', '.join(sorted(record))}: mend the record or the task's fields"
            )
        return found[0]

    def question(self, example: Example) -> Question:
        """Render an example of a ranking task."""
        options = self._evaluated(example, "options", self._ranking["options"], example.values)
        if not isinstance(options, list) or not options or not all(isinstance(option, str) for option in options):
            raise self._refused(example, "options", f"gives {options!r}, no list of texts")
        of_options = [example.values | {"option": option} for option in options]

        def rendered(key: str) -> tuple[str, ...]:
            made = self._ranking[key]
            if "option" not in made.uses:
                return (self._evaluated(example, key, made, example.values),) * len(options)
            return tuple(self._evaluated(example, key, made, values) for values in of_options)

        unconditional = rendered("unconditional") if "unconditional" in self._ranking else ()
        gold = self._gold(example, options) if "gold" in self._ranking else ()
        return Question(rendered("context"), rendered("continuation"), unconditional, gold)

    def _gold(self, example: Example, options: list[str]) -> tuple[int, ...]:
        gold = self._evaluated(example, "gold", self._ranking["gold"], example.values | {"options": options})
        numbers = gold if isinstance(gold, list) else [gold]
        if not numbers or not all(isinstance(number, int) and 0 <= number < len(options) for number in numbers):
            raise self._refused(example, "gold", f"gives {gold!r}, which is none of the {len(options)} options")
        return tuple(int(number) for number in numbers)

    def open_question(self, example: Example) -> OpenQuestion:
        """Render an example of a generation task."""
        parts = {key: self._evaluated(example, key, made, example.values) for key, made in self._generation.items()}
        answers = parts["answers"]
        if not isinstance(answers, list):
            raise self._refused(example, "answers", f"gives {answers!r}, no list")
        return OpenQuestion(parts["context"], parts["target"], tuple(answers))

    def text(self, example: Example) -> Text:
        """Render an example of a perplexity task."""
        return Text(self._evaluated(example, "text", self._text, example.values))

    def groups(self, example: Example) -> dict[str, str]:
        """Return the values by which scores are broken down, but those that need a table that is not there."""
        values = example.values | {name: self._row(example, name) for name in self._tables}
        missing = set(self._task.tables) - set(self._tables)
        made = {key: group for key, group in self._groups.items() if not group.uses & missing}
        return {key: str(self._evaluated(example, f"groups.{key}", group, values)) for key, group in made.items()}

    def together(self, example: Example) -> str:
        """Return what examples that count as one in intervals have in common."""
        if self._together is None:
            return example.place
        return str(self._evaluated(example, "together", self._together, example.values))

    def _row(self, example: Example, name: str) -> Record:
        key = str(self._evaluated(example, f"tables.{name}.key", self._keys[name], example.values))
        if key not in self._tables[name]:
            raise self._refused(example, f"tables.{name}.key", f"gives {key!r}, for which the table has no row")
        return self._tables[name][key]

    @cached_property
    def _ranking(self) -> dict[str, Compiled]:
        ranking = self._task.ranking
        assert ranking is not None
        place = f"{self._name}: ranking"
        made = {
            "options": expression(ranking.options, f"{place}.options", self._names),
            "context": template(ranking.context, f"{place}.context", self._names | {"option"}),
            "continuation": template(ranking.continuation, f"{place}.continuation", self._names | {"option"}),
        }
        if ranking.unconditional is not None:
            made["unconditional"] = template(ranking.unconditional, f"{place}.unconditional", self._names | {"option"})
        if ranking.gold is not None:
            made["gold"] = expression(ranking.gold, f"{place}.gold", self._names | {"options"})
        return made

    @cached_property
    def _generation(self) -> dict[str, Compiled]:
        generation = self._task.generation
        assert generation is not None
        place = f"{self._name}: generation"
        return {
            "context": template(generation.context, f"{place}.context", self._names),
            "target": template(generation.target, f"{place}.target", self._names),
            "answers": expression(generation.answers, f"{place}.answers", self._names),
        }

    @cached_property
    def _text(self) -> Compiled:
        assert self._task.perplexity is not None
        return template(self._task.perplexity.text, f"{self._name}: perplexity.text", self._names)

    @cached_property
    def _groups(self) -> dict[str, Compiled]:
        names = self._names | set(self._task.tables)
        groups = self._task.groups.items()
        return {key: expression(source, f"{self._name}: groups.{key}", names) for key, source in groups}

    @cached_property
    def _keys(self) -> dict[str, Compiled]:
        tables = self._task.tables.items()
        return {name: expression(table.key, f"{self._name}: tables.{name}.key", self._names) for name, table in tables}

    @cached_property
    def _together(self) -> Compiled | None:
        source = self._task.together
        return None if source is None else expression(source, f"{self._name}: together", self._names)

    def _evaluated(self, example: Example, key: str, made: Compiled, values: Mapping[str, Any]) -> Any:
        try:
            return made(values)
        except (TemplateError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise self._refused(example, key, str(error)) from error

    def _refused(self, example: Example, key: str, reason: str) -> EvaluationSetError:
        fields = ", ".join(f"{name} = {repr(value)[:60]}" for name, value in example.values.items())
        return EvaluationSetError(
            f"{example.place}: {self._name}: {key} {reason}; the fields are {fields}: mend the record or the task"
        )


def _bound(value: Any, path: list[Step]) -> Iterator[list[Step]]:
    """Yield `path` with the positions of every element in the place of `*`."""
    if "*" not in path:
        yield path
        return
    star = path.index("*")
    for elements in values_at(value, path[:star]):
        if isinstance(elements, list):
            for position in range(len(elements)):
                yield from _bound(value, [*path[:star], position, *path[star + 1 :]])


def _through(path: list[Step], each: list[Step], bound: list[Step]) -> list[Step]:
    """Return `path` with the positions of the example in the steps that it shares with `each`."""
    shared = 0
    while shared < min(len(path), len(each)) and path[shared] == each[shared]:
        shared += 1
    return [*bound[:shared], *path[shared:]]
