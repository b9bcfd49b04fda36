"""A study file: arms that differ in one thing, seeds, the comparisons of interest.

    base = "base/two_cores.toml"         # values that this file adds to or replaces, paths relative to this one
    name = "demo"
    title = "…"
    question = "…"
    corpus = "../demo.toml"              # relative to this file
    training = "../training/demo.toml"
    seeds = [0, 1, 2]
    curated = ["wikipedia", "books", "news"]
    [arms.filtered]
    version = "filtered"                 # a dataset version of the corpus; [arms.NAME.model] etc. change the training,
    corpus = { sample = { alpha = "9" } }  # this the corpus, which is then built for the arm
    expected_tokens = { web = "7T" }     # in place of the corpus's, for a plan made before there is data
    [[comparisons]]
    a = "filtered"
    b = "random"
    claim = "Filtering picks better pages than chance does."
    differ = ["web"]                     # what may differ, where the arms don't say it (`trainer.ablation.differences`)
    [[savings]]                          # what the saver's arms cost where they score as an arm of the reference
    saver = ["moe_small", "moe_large"]
    reference = ["dense_small", "dense_large"]
    claim = "…"
    [budget]                             # in place of the steps: equal for all arms
    flops = "4T"
    [search]                             # of each arm's learning rate, by one seed that the comparison does not use
    learning_rates = [0.05, 0.1, 0.2]
    [slice]                              # of TPUs, if the plan is for one
    topology = "v4:4x4x8"

Importing this module does not import JAX.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipelines.config import Amount, CorpusConfig, Name
from pipelines.store.configuration import ConfigError, Settings, apply_override, merge, read_toml, validate
from trainer.accounting import cost
from trainer.config import TrainingConfig
from trainer.pod.topology import parse_topology

Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Arm(Settings):
    """One arm: a dataset version, and how it differs from the study's configurations.

    Attributes:
        version: of the corpus.
        corpus: values of the corpus configuration in other ones' place, for this arm alone.
        expected_tokens: of components, where they are expected otherwise than the corpus configuration says.
        mixture: weights of the components in training.
        model: values of this part of the training configuration.
        optimizer: likewise.
        training: likewise.
    """

    version: Name
    corpus: dict[str, Any] = Field(default_factory=dict)
    expected_tokens: dict[Name, Amount] = Field(default_factory=dict)
    mixture: dict[Name, float] = Field(default_factory=dict)
    model: dict[str, Any] = Field(default_factory=dict)
    optimizer: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)


class Slice(Settings):
    """The TPUs that each run has, for the plan: their topology, and which share of their peak is expected of them."""

    topology: str
    utilization: float = Field(default=0.3, gt=0, le=1)


class Comparison(Settings):
    """Two arms, the claim that holds if `a` is better, and in what they may differ.

    Attributes:
        differ: keys of the training configuration (`model`, `model.experts`) and parts of the data: components,
            `tokenizer`. Empty: what the arms change of the training, and components of which they take other documents.
    """

    a: Name
    b: Name
    claim: str = Field(min_length=1)
    differ: list[str] = Field(default_factory=list)


Axis = Literal["flops", "cpu_seconds", "seconds", "tokens"]


class Saving(Settings):
    """How much less the arms of `saver` cost than those of `reference` where they score the same
    (`trainer.ablation.saving`).

    Attributes:
        saver: arms whose costs differ; between them is interpolated.
        reference: arms whose scores are the targets.
        claim: holds if the factor is above 1.
        axes: what a cost is: of a run's training, in closed form (`flops`), as measured, or in tokens.
    """

    saver: list[Name] = Field(min_length=2)
    reference: list[Name] = Field(min_length=1)
    claim: str = Field(min_length=1)
    axes: list[Axis] = Field(default=["flops", "cpu_seconds", "seconds"], min_length=1)


class Budget(Settings):
    """What a run of any arm is trained for; one of the two.

    Attributes:
        tokens: of the batches.
        flops: of training, in closed form; a cheaper model is trained for more steps.
    """

    tokens: Amount | None = None
    flops: Amount | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.tokens is None) == (self.flops is None):
            raise ValueError("budget: give either tokens or flops")
        return self


class Search(Settings):
    """The same search of a learning rate for each arm: it takes the rate with which a short training ends at the lowest
    loss of its batches. Nothing held out is looked at.

    Attributes:
        learning_rates: to try.
        steps: of a training of the search; 0: as many as the arm's.
        seed: of the search, none of the study's.
    """

    learning_rates: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(min_length=2)
    steps: int = Field(default=0, ge=0)
    seed: Seed = 1000


class Study(Settings):
    """What a study file says.

    Attributes:
        name: of the study in the store.
        title: of the report.
        question: what the study asks, in a sentence or two.
        corpus: path of the corpus configuration, relative to the study file.
        training: path of the training configuration, likewise.
        corpus_changes: values of the corpus configuration to put in other ones' place, e.g. `data`.
        training_changes: the same of the training configuration, for all arms.
        arms: by name.
        seeds: a run of each arm for each; arms are paired by them. Two seeds give no useful interval.
        comparisons: differences to tell; each by domain.
        savings: cost at equal scores; each by domain.
        budget: of a run, in place of the configuration's steps.
        search: of the learning rates, if they are tuned.
        curated: components whose held-out sources make up the domain `curated`, which the headline is about.
        seed_deviation: standard deviation of a paired difference over seeds (bits per byte) that the plan assumes.
        backend: of JAX, on which runs are trained: on a `cpu` each process has a core; with `gpu` have one worker.
        workers: processes that train side by side.
        slice: the TPUs of a run, if it is planned for some.
    """

    name: Name
    title: str = Field(min_length=1)
    question: str = Field(min_length=1)
    corpus: str
    training: str
    corpus_changes: dict[str, Any] = Field(default_factory=dict)
    training_changes: dict[str, Any] = Field(default_factory=dict)
    arms: dict[Name, Arm] = Field(min_length=2)
    seeds: list[Seed] = Field(default_factory=lambda: [0, 1, 2], min_length=3)
    comparisons: list[Comparison] = Field(min_length=1)
    savings: list[Saving] = Field(default_factory=list)
    budget: Budget | None = None
    search: Search | None = None
    curated: list[Name] = Field(min_length=1)
    seed_deviation: float = Field(default=0.01, gt=0, allow_inf_nan=False)
    backend: Literal["cpu", "gpu"] = "cpu"
    workers: int = Field(default=2, ge=1, le=256)
    slice: Slice | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds: each may stand once; a repeated run is no new evidence")
        for comparison in self.comparisons:
            self._require_arms("comparisons", (comparison.a, comparison.b))
            if comparison.a == comparison.b:
                raise ValueError(f"comparisons: {comparison.a!r} is compared with itself; name two arms")
        for saving in self.savings:
            self._require_arms("savings", (*saving.saver, *saving.reference))
        if self.search is not None and self.search.seed in self.seeds:
            raise ValueError(f"search.seed: {self.search.seed} is one of the study's seeds; choose another")
        return self

    def _require_arms(self, key: str, names: Iterable[str]) -> None:
        for name in names:
            if name not in self.arms:
                raise ValueError(f"{key}: {name!r} is not an arm; known: {', '.join(sorted(self.arms))}")


@dataclass(frozen=True)
class LoadedStudy:
    """A study with the configurations that it names, all validated.

    Attributes:
        corpora: what to build for each arm; arms with equal ones share a build.
        trainings: the training configuration of each arm; its `version` is the version's name in the arm's corpus.
    """

    study: Study
    path: str
    corpora: dict[str, CorpusConfig]
    trainings: dict[str, TrainingConfig]


def load_study(path: str, overrides: Sequence[str] = ()) -> LoadedStudy:
    """Read a study file and the two configurations that it names.

    Args:
        path: the TOML file.
        overrides: `key=value` of the study file, e.g. `corpus_changes.data=/texts` or `workers=4`.

    Raises:
        ConfigError: when a file, a key or a value is refused.
    """
    study = validate(Study, _values(path, overrides), path)
    corpora = _corpora(study, path)
    training_path = _beside(path, study.training)
    base = validate(TrainingConfig, merge(read_toml(training_path), study.training_changes), training_path)
    trainings = {}
    for name, arm in sorted(study.arms.items()):
        changes = arm.model_dump(include={"mixture", "model", "optimizer", "training"})
        changed = base.changed({**changes, "version": _version(name, arm)}, f"{path}: arms.{name}")
        trainings[name] = _within(study.budget, changed, corpora[name], f"{path}: arms.{name}")
    if study.slice is not None:
        parse_topology(study.slice.topology)
    return LoadedStudy(study, path, corpora, trainings)


def _values(path: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Return what a study file says, in place of what its base says, if it names one; overrides in place of both."""
    values = read_toml(path)
    if (base := values.pop("base", None)) is not None:
        values = merge(read_toml(_beside(path, str(base))), values)
    for override in overrides:
        apply_override(values, override, path)
    return values


def _beside(path: str, other: str) -> str:
    return str(Path(path).resolve().parent / other)


def _version(name: str, arm: Arm) -> str:
    """Return what an arm's version is called: after the arm where no other arm can have it."""
    return name if arm.corpus else arm.version


def _corpora(study: Study, path: str) -> dict[str, CorpusConfig]:
    """Return the corpus of each arm, with the versions alone that arms train on."""
    corpus_path = _beside(path, study.corpus)
    values = merge(read_toml(corpus_path), study.corpus_changes)
    base = validate(CorpusConfig, values, corpus_path).with_files_beside(corpus_path)
    _refuse_unknown(path, "arms: version", (arm.version for arm in study.arms.values()), base.versions)
    _refuse_unknown(path, "curated", study.curated, base.mixture)
    own = sorted(name for name, arm in study.arms.items() if arm.corpus)
    if taken := sorted(set(own) & set(base.versions)):
        raise ConfigError(f"{path}: arms: {', '.join(taken)} has a corpus of its own; give it a name of no version")
    shared = {arm.version: base.versions[arm.version] for arm in study.arms.values() if not arm.corpus}
    corpora = dict.fromkeys(study.arms, base.model_copy(update={"versions": shared}))
    for name in own:
        arm = study.arms[name]
        changed = merge(values, arm.corpus) | {"versions": {name: base.versions[arm.version]}}
        corpora[name] = validate(CorpusConfig, changed, f"{path}: arms.{name}.corpus").with_files_beside(corpus_path)
    return corpora


def _within(budget: Budget | None, config: TrainingConfig, corpus: CorpusConfig, place: str) -> TrainingConfig:
    """Return a configuration with as many steps as the budget has, rounded down."""
    if budget is None:
        return config
    length = corpus.pack.sequence_length
    a_step = config.resolved(length, "cpu").training.batch_rows * length
    a_token = cost(config.model, corpus.tokenizer.vocabulary_size, length).training_flops
    steps = budget.tokens // a_step if budget.tokens is not None else (budget.flops or 0) // (a_step * a_token)
    if not steps:
        raise ConfigError(f"{place}: the budget is less than one step, {a_step:,} tokens or {a_step * a_token:,} FLOPs")
    return config.changed({"training": {"steps": steps, "batch_rows": a_step // length}}, place)


def _refuse_unknown(path: str, key: str, names: Iterable[str], known: Iterable[str]) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        has = ", ".join(sorted(known))
        raise ConfigError(f"{path}: {key}: the corpus has no {', '.join(unknown)}; it has {has}: name one of these")
