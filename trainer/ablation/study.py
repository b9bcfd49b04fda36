"""A study file: arms that differ in one thing, seeds, the comparisons of interest. And what it will cost.

    name = "demo"
    title = "…"
    question = "…"
    corpus = "../demo.toml"              # relative to this file
    training = "../training/demo.toml"
    seeds = [0, 1, 2]
    curated = ["wikipedia", "books", "news"]
    [arms.filtered]
    version = "filtered"                 # a dataset version of the corpus; [arms.NAME.model] etc. change the training
    expected_tokens = { web = "7T" }     # in place of the corpus's, for a plan made before there is data
    [[comparisons]]
    a = "filtered"
    b = "random"
    claim = "Filtering picks better pages than chance does."
    [slice]                              # of TPUs, if the plan is for one
    topology = "v4:4x4x8"

Importing this module does not import JAX.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from pipelines.config import Amount, CorpusConfig, Name
from pipelines.store.configuration import ConfigError, Settings, load_settings, merge, read_toml, validate
from pipelines.store.repetition import plan_repetition
from trainer.ablation.statistics import Domain, detectable_effect
from trainer.accounting import cost
from trainer.config import TrainingConfig
from trainer.pod.topology import parse_topology

Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Arm(Settings):
    """One arm: a dataset version, what it changes of the training configuration, and the tokens of its components that
    are expected otherwise than the corpus configuration says."""

    version: Name
    expected_tokens: dict[Name, Amount] = Field(default_factory=dict)
    model: dict[str, Any] = Field(default_factory=dict)
    optimizer: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)


class Slice(Settings):
    """The TPUs that each run has, for the plan: their topology, and which share of their peak is expected of them."""

    topology: str
    utilization: float = Field(default=0.3, gt=0, le=1)


class Comparison(Settings):
    """Two arms, and the claim that holds if `a` is better."""

    a: Name
    b: Name
    claim: str = Field(min_length=1)


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
        curated: components whose held-out sources make up the domain `curated`, which the headline is about.
        seed_deviation: standard deviation of a paired difference over seeds (bits per byte) that the plan assumes.
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
    curated: list[Name] = Field(min_length=1)
    seed_deviation: float = Field(default=0.01, gt=0, allow_inf_nan=False)
    workers: int = Field(default=2, ge=1, le=256)
    slice: Slice | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds: each may stand once; a repeated run is no new evidence")
        for comparison in self.comparisons:
            for arm in (comparison.a, comparison.b):
                if arm not in self.arms:
                    raise ValueError(f"comparisons: {arm!r} is not an arm; known: {', '.join(sorted(self.arms))}")
            if comparison.a == comparison.b:
                raise ValueError(f"comparisons: {comparison.a!r} is compared with itself; name two arms")
        return self


@dataclass(frozen=True)
class LoadedStudy:
    """A study with the configurations that it names, all validated.

    Attributes:
        trainings: the training configuration of each arm; its `version` is the version's name in the corpus.
    """

    study: Study
    path: str
    corpus: CorpusConfig
    trainings: dict[str, TrainingConfig]


def load_study(path: str, overrides: Sequence[str] = ()) -> LoadedStudy:
    """Read a study file and the two configurations that it names.

    Args:
        path: the TOML file.
        overrides: `key=value` of the study file, e.g. `corpus_changes.data=/texts` or `workers=4`.

    Raises:
        ConfigError: when a file, a key or a value is refused.
    """
    study = load_settings(Study, path, overrides)
    folder = Path(path).resolve().parent
    corpus_path, training_path = str(folder / study.corpus), str(folder / study.training)
    values = merge(read_toml(corpus_path), study.corpus_changes)
    corpus = validate(CorpusConfig, values, corpus_path).with_files_beside(corpus_path)
    base = validate(TrainingConfig, merge(read_toml(training_path), study.training_changes), training_path)
    trainings = {
        name: base.changed(arm.model_dump(exclude={"expected_tokens"}), f"{path}: arms.{name}")
        for name, arm in sorted(study.arms.items())
    }
    if study.slice is not None:
        parse_topology(study.slice.topology)
    _refuse_unknown(path, "arms: version", (arm.version for arm in study.arms.values()), corpus.versions)
    _refuse_unknown(path, "curated", study.curated, corpus.mixture)
    return LoadedStudy(study, path, corpus, trainings)


def _refuse_unknown(path: str, key: str, names: Iterable[str], known: Iterable[str]) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        has = ", ".join(sorted(known))
        raise ConfigError(f"{path}: {key}: the corpus has no {', '.join(unknown)}; it has {has}: name one of these")


def plan(loaded: LoadedStudy) -> dict[str, Any]:
    """Return what a study will do and cost, without doing it.

    Returns:
        {study, question, arms: [{name, version, parameters, active, tokens, flops, epochs}], seeds, runs, tokens,
        flops, chips, days, detectable_effect, seed_deviation}: tokens and FLOPs of training, over all seeds; epochs of
        one run by component, null where nobody says how many tokens there are; chips of the slice and days that all
        runs take on it, one after the other (null without one); the smallest difference (bits per byte) that the seeds
        tell with a power of 0.8 if differences vary by `seed_deviation`.
    """
    study = loaded.study
    arms = [_planned(name, loaded) for name in study.arms]
    flops = sum(arm["flops"] for arm in arms)
    return {
        "study": study.name,
        "question": study.question,
        "arms": arms,
        "comparisons": [comparison.model_dump() for comparison in study.comparisons],
        "seeds": study.seeds,
        "runs": len(arms) * len(study.seeds),
        "tokens": sum(arm["tokens"] for arm in arms),
        "flops": flops,
        **_on_slice(flops, study.slice),
        "seed_deviation": study.seed_deviation,
        "detectable_effect": round(detectable_effect(len(study.seeds), study.seed_deviation), 4),
    }


def _planned(name: str, loaded: LoadedStudy) -> dict[str, Any]:
    corpus = loaded.corpus
    training = loaded.trainings[name].resolved(corpus.pack.sequence_length, "cpu")
    size = cost(training.model, corpus.tokenizer.vocabulary_size, corpus.pack.sequence_length)
    rows = training.training.steps * training.training.batch_rows
    tokens = rows * corpus.pack.sequence_length * len(loaded.study.seeds)
    return {
        "name": name,
        "version": training.version,
        "parameters": size.parameters,
        "active": size.active,
        "tokens": tokens,
        "flops": tokens * size.training_flops,
        "epochs": _epochs(name, loaded, rows * corpus.pack.sequence_length),
    }


def _epochs(name: str, loaded: LoadedStudy, tokens: int) -> dict[str, float | None]:
    """Return how often a run of an arm reads each component."""
    mixture, arm = loaded.corpus.mixture, loaded.study.arms[name]
    weights = loaded.trainings[name].mixture or {component: part.weight for component, part in mixture.items()}
    available = {component: mixture[component].expected_tokens for component in weights} | arm.expected_tokens
    uses = plan_repetition(weights, available, tokens, loaded.corpus.mixture_limits)
    return {use.component: None if use.epochs is None else round(float(use.epochs), 4) for use in uses}


def _on_slice(flops: int, part: Slice | None) -> dict[str, float | None]:
    """Return chips, and days of all runs on them."""
    if part is None:
        return {"chips": None, "days": None}
    topology = parse_topology(part.topology)
    seconds = flops / (topology.chips * topology.chip.peak_flops * part.utilization)
    return {"chips": topology.chips, "days": round(seconds / 86400, 1)}


def domains(sources: dict[str, tuple[str, bool]], curated: Sequence[str]) -> list[Domain]:
    """Return the domains of a comparison: curated, the components, sources held out whole, and every source.

    Args:
        sources: component and `out_of_domain` of every held-out source.
        curated: components of the domain `curated`.
    """
    within = {source: component for source, (component, outside) in sources.items() if not outside}
    found = []
    if chosen := tuple(sorted(source for source, component in within.items() if component in curated)):
        found.append(Domain("curated", "curated", chosen))
    for component in sorted(set(within.values())):
        chosen = tuple(sorted(source for source, of in within.items() if of == component))
        found.append(Domain(component, "component", chosen))
    outside = sorted(set(sources) - set(within))
    found += [Domain(source, "out of domain", (source,)) for source in outside]
    several = {domain.name for domain in found if len(domain.sources) > 1}
    found += [Domain(s, "source", (s,)) for s, component in sorted(within.items()) if component in several]
    return found
