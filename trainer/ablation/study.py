"""A study file: arms that differ in one thing, seeds, the comparisons of interest.

    base = "base/two_cores.toml"         # values that this file adds to or replaces, paths relative to this one; of
                                         # several bases in a list a later one replaces an earlier one's values
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
    [fine_tuning]                        # of every run on tasks, whose held parts are scored before and after it
    tasks = ["sciq", "boolq"]
    steps = 200
    [slice]                              # of TPUs, if the plan is for one
    topology = "v4:4x4x8"

Importing this module does not import JAX.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from pipelines.config import CorpusConfig, Name
from pipelines.store.configuration import ConfigError, Settings, apply_override, merge, read_toml, validate
from trainer.ablation.study_parts import Arm, Budget, Comparison, Saving, Search, Seed, Slice, StudyFineTuning
from trainer.accounting import cost
from trainer.config import TrainingConfig
from trainer.evaluation.task import Catalogue
from trainer.pod.topology import parse_topology


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
        fine_tuning: of every run, if there is one.
        expert_documents: of a held-out source, that the first run of an arm with experts reads for their load by domain
            and quality; 0 reads none.
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
    fine_tuning: StudyFineTuning | None = None
    expert_documents: int = Field(default=10, ge=0)
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
        catalogue: of the tasks that runs are fine-tuned on; None without any.
    """

    study: Study
    path: str
    corpora: dict[str, CorpusConfig]
    trainings: dict[str, TrainingConfig]
    catalogue: Catalogue | None = None


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
    training_path = beside(path, study.training)
    base = validate(TrainingConfig, read_toml(training_path), training_path)
    base = base.changed(study.training_changes, f"{path}: training_changes")
    trainings = {}
    for name, arm in sorted(study.arms.items()):
        changes = arm.model_dump(include={"mixture", "model", "optimizer", "training"})
        changed = base.changed({**changes, "version": _version(name, arm)}, f"{path}: arms.{name}")
        trainings[name] = _within(study.budget, changed, corpora[name], f"{path}: arms.{name}")
    if study.slice is not None:
        parse_topology(study.slice.topology)
    return LoadedStudy(study, path, corpora, trainings, _catalogue(study.fine_tuning, path))


def _values(path: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Return what a study file and its bases say; overrides in place of both."""
    values = _with_bases(path)
    for override in overrides:
        apply_override(values, override, path)
    return values


def _with_bases(path: str, named_by: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return what a file says, in place of what its bases say, a later one in place of an earlier one."""
    if path in named_by:
        raise ConfigError(f"{path}: base: the file is a base of itself ({' → '.join(named_by)}); name another")
    own = read_toml(path)
    named = own.pop("base", [])
    values: dict[str, Any] = {}
    for base in [named] if isinstance(named, str) else named:
        values = merge(values, _with_bases(beside(path, str(base)), (*named_by, path)))
    return merge(values, own)


def beside(path: str, other: str) -> str:
    """Return the path of a file that the study file at `path` names."""
    return str(Path(path).resolve().parent / other)


def _version(name: str, arm: Arm) -> str:
    """Return what an arm's version is called: after the arm where no other arm can have it."""
    return name if arm.corpus else arm.version


def _corpora(study: Study, path: str) -> dict[str, CorpusConfig]:
    """Return the corpus of each arm, with the versions alone that arms train on."""
    corpus_path = beside(path, study.corpus)
    values = merge(read_toml(corpus_path), study.corpus_changes)
    base = validate(CorpusConfig, values, corpus_path).with_files_beside(corpus_path)
    _refuse_unknown(f"{path}: arms: version", "the corpus", (arm.version for arm in study.arms.values()), base.versions)
    _refuse_unknown(f"{path}: curated", "the corpus", study.curated, base.mixture)
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


def _catalogue(tuning: StudyFineTuning | None, path: str) -> Catalogue | None:
    """Return the catalogue of a fine-tuning's tasks, all of which tell a right option by accuracy."""
    if tuning is None:
        return None
    place = f"{path}: fine_tuning.tasks"
    found = Catalogue(beside(path, tuning.catalogue))
    _refuse_unknown(place, "the catalogue", tuning.tasks, found.tasks)
    for name in tuning.tasks:
        ranking = found.tasks[name].ranking
        if ranking is None or ranking.gold is None or ranking.metrics[0] != "accuracy":
            raise ConfigError(f"{place}: {name}: is not scored by accuracy; name tasks of options with a right one")
    return found


def _refuse_unknown(place: str, owner: str, names: Iterable[str], known: Iterable[str]) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        has = ", ".join(sorted(known))
        raise ConfigError(f"{place}: {owner} has no {', '.join(unknown)}; it has {has}: name one of these")
