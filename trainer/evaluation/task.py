"""What a task is: a small TOML file in configs/evaluation/tasks. Importing this module imports neither JAX nor numpy.

    set = "piqa"                        # of sets.toml: where the records lie, in their native fields
    category = "commonsense"
    shots = 8                           # few-shot demonstrations, where `shots_of` says whose number that is
    [fields]                            # a name for the value at a path of a record
    goal = "goal"
    [ranking]                           # or [generation], or [perplexity]
    context = "Question: {{ goal }}\\nAnswer:"
    options = "[sol1, sol2]"

Texts are Jinja templates over the fields; `options`, `gold`, `answers` and `groups` are Jinja expressions. `like` names
another task whose values hold where the file gives none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipelines.contamination.settings import EvaluationSets, FieldPath, TaskName
from pipelines.store.configuration import ConfigError, Settings, load_settings, merge, read_toml, validate

Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Category = Literal[
    "open-domain QA",
    "cloze and completion",
    "Winograd-style",
    "commonsense",
    "reading comprehension",
    "SuperGLUE",
    "natural language inference",
]
RankingMetric = Literal["accuracy", "f1a", "macro_f1", "preference", "icat", "lms", "ss"]
GenerationMetric = Literal["em", "f1", "f1_leave_one_out"]
Model = Literal["glam", "gpt3"]
"""Whose figures stand beside ours: GLaM 64B/64E and GPT-3."""

Provenance = Literal["P", "S", "W", "R"]
"""Where a reference figure was read: P in PaLM's tables, S in secondary summaries of GLaM that agree, W on
paperswithcode, R recalled and not read again."""


class Ranking(Settings):
    """Options are compared by their log-likelihood.

    Attributes:
        options: expression, a list of texts; each is `option` in the templates.
        context: template; where it uses `option` the options are told in the context (partial evaluation).
        continuation: template, whose log-likelihood counts.
        gold: expression, the number of the right option or a list of such numbers; None where nothing is right.
        normalization: `tokens` divides by the tokens of the continuation, `none` does not.
        unconditional: template of a context; with `--unconditional` its log-likelihood of the continuation is
            subtracted instead (Brown et al. 2020).
        metrics: the first is the score. `preference` is the share of questions whose first option wins; `lms`, `ss` and
            `icat` are StereoSet's, over options in the order anti-stereotype, stereotype, unrelated.
        positive: for `f1a`, the number of the option that says yes.
    """

    options: str
    context: str
    continuation: str = " {{ option }}"
    gold: str | None = None
    normalization: Literal["tokens", "none"] = "tokens"
    unconditional: str | None = None
    metrics: list[RankingMetric] = Field(default=["accuracy"], min_length=1)
    positive: int = Field(1, ge=0)


class Generation(Settings):
    """A text is decoded and compared with answers.

    Attributes:
        context: template.
        target: template of what a demonstration continues with, its leading blank included.
        answers: expression, the list of answers that count as right; of `drop` a list of lists of spans.
        stop: decoding ends before any of these.
        most_tokens: decoded.
        rules: whose normalization of answers.
        no_answer: what a model says for no answer, which counts as the empty answer.
        metrics: the first is the score.
    """

    context: str
    target: str
    answers: str
    stop: list[str] = Field(default=["\n"], min_length=1)
    most_tokens: int = Field(24, ge=1)
    rules: Literal["squad", "triviaqa", "drop", "coqa", "quac", "first_word"] = "squad"
    no_answer: str | None = None
    metrics: list[GenerationMetric] = Field(default=["em"], min_length=1)


class Perplexity(Settings):
    """Whole texts are scored, by windows.

    Attributes:
        text: template.
    """

    text: str


class ReferenceScore(Settings):
    """A published score, on 0…100, and where it was read."""

    score: float = Field(ge=0, le=100)
    read: Provenance


class Reference(Settings):
    """Published scores with no, one and a few demonstrations; `shots` are those few, where they are known."""

    zero: ReferenceScore | None = None
    one: ReferenceScore | None = None
    few: ReferenceScore | None = None
    shots: int | None = None

    def of(self, shots: str) -> ReferenceScore | None:
        """Return the score with `0`, `1` or `few` demonstrations; None where there is none."""
        return {"0": self.zero, "1": self.one, "few": self.few}.get(shots)


class Table(Settings):
    """A file beside the set, whose rows are joined to the examples; without it, groups that use it are left out.

    Attributes:
        files: as a set's; the format is told by the name.
        column: whose value a row is found by.
        key: expression, that value of an example.
    """

    files: list[str] = Field(min_length=1)
    column: str
    key: str


class TaskSettings(Settings):
    """One task.

    Attributes:
        set: name in sets.toml.
        title: as the papers print it.
        category: of the paper's seven; None where the paper has not the task.
        each: path of what makes an example, where a record holds several; steps that a field shares with it stand for
            the example's own, and `index` is its place in the last list.
        fields: name: path.
        tables: name: table; the name stands for the example's row in `groups`.
        groups: name: expression, by which scores are broken down.
        gaps: group: two of its values, whose scores are compared.
        together: expression; examples of one value count as one in intervals, where that is not those of one record.
        shots: demonstrations of `few`.
        shots_of: `GLaM` where the paper's number is known, else `ours`.
        reference: published scores by metric and model.
    """

    set: TaskName
    title: str
    category: Category | None = None
    each: FieldPath | None = None
    fields: dict[Identifier, FieldPath] = Field(min_length=1)
    tables: dict[Identifier, Table] = Field(default_factory=dict)
    groups: dict[Identifier, str] = Field(default_factory=dict)
    gaps: dict[Identifier, tuple[str, str]] = Field(default_factory=dict)
    together: str | None = None
    ranking: Ranking | None = None
    generation: Generation | None = None
    perplexity: Perplexity | None = None
    shots: int = Field(8, ge=1)
    shots_of: Literal["GLaM", "ours"] = "ours"
    reference: dict[str, dict[Model, Reference]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if sum(part is not None for part in (self.ranking, self.generation, self.perplexity)) != 1:
            raise ValueError("give one of [ranking], [generation] and [perplexity]")
        if unknown := set(self.gaps) - set(self.groups):
            raise ValueError(f"gaps: {', '.join(sorted(unknown))} is none of the groups {', '.join(self.groups)}")
        unknown = set(self.reference) - set(self.metrics)
        if unknown:
            raise ValueError(
                f"reference: {', '.join(sorted(unknown))} is none of the metrics {', '.join(self.metrics)}"
            )
        return self

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics; the first is the task's score."""
        scoring = self.ranking or self.generation
        return list(scoring.metrics) if scoring else ["word_perplexity", "bits_per_byte"]

    @property
    def percent(self) -> bool:
        """Whether scores are on 0…100."""
        return self.perplexity is None


class Suite(Settings):
    """Tasks that are run together: `--tasks NAME`."""

    title: str
    tasks: list[TaskName] = Field(min_length=1)


class Suites(Settings):
    """The file suites.toml; `means` are the published ones: {mean: {model: Reference}}."""

    suites: dict[TaskName, Suite]
    means: dict[str, dict[Model, Reference]] = Field(default_factory=dict)


class Catalogue:
    """The tasks, sets and suites of a folder (configs/evaluation).

    Raises:
        ConfigError: when a file is refused, or a task names no set, or a suite no task.
    """

    def __init__(self, folder: str) -> None:
        paths = {path.stem: path for path in sorted(Path(folder, "tasks").glob("*.toml"))}
        values = {name: read_toml(str(path)) for name, path in paths.items()}
        listed = load_settings(EvaluationSets, str(Path(folder, "sets.toml")))
        self.folder, self.sets = listed.folder, listed.sets
        self.tasks: dict[str, TaskSettings] = {
            name: validate(TaskSettings, _inherited(name, values, str(path)), str(path)) for name, path in paths.items()
        }
        suites = load_settings(Suites, str(Path(folder, "suites.toml")))
        self.suites, self.means = suites.suites, suites.means
        for name, task in self.tasks.items():
            _require(task.set, self.sets, f"{paths[name]}: set", "sets.toml")
        for name, suite in self.suites.items():
            for task_name in suite.tasks:
                _require(task_name, self.tasks, f"{folder}/suites.toml: suites.{name}", "tasks/")

    def named(self, names: Iterable[str]) -> dict[str, TaskSettings]:
        """Return the tasks that names of tasks and suites stand for, in their order.

        Raises:
            ConfigError: when a name is neither.
        """
        chosen: dict[str, TaskSettings] = {}
        for name in names:
            if name not in self.tasks and name not in self.suites and name != "all":
                raise ConfigError(
                    f"--tasks {name}: there is no such task; there are heldout, heldout/SOURCE, domains, "
                    f"cooccurrence, all, the suites {', '.join(self.suites)} and the tasks {', '.join(self.tasks)}"
                )
            members = self.tasks if name == "all" else self.suites[name].tasks if name in self.suites else [name]
            chosen |= {member: self.tasks[member] for member in members}
        return chosen


def _inherited(name: str, values: Mapping[str, dict[str, Any]], path: str) -> dict[str, Any]:
    own = dict(values[name])
    base = own.pop("like", None)
    if base is None:
        return own
    _require(base, values, f"{path}: like", "tasks/")
    parent = _inherited(base, {key: value for key, value in values.items() if key != name}, path)
    parent.pop("reference", None)  # published figures are of one task alone
    return merge(parent, own)


def _require(name: str, known: Iterable[str], place: str, where: str) -> None:
    if name not in known:
        raise ConfigError(f"{place}: {name!r} is not in {where}; there are {', '.join(sorted(known))}")
