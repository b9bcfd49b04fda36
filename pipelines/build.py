"""Build: the jobs in order, from raw files to dataset versions. It only orders them; each is a stage of its own.

    extract ─ deduplicate ─ holdout ─ decontaminate ─ classifier ─ quality ─ sample ─┐
                                           └───── tokenizer ─ tokenize ──────────────┴─ subset ─ …
                                                                            … ─ tabulate ─ account ─ pack ─ mix

A stage that is finished under the same fingerprint is not run again; a build that was stopped goes on after its last
finished stage.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipelines import (
    account,
    classifier,
    decontaminate,
    deduplicate,
    extract,
    holdout,
    mix,
    pack,
    quality,
    sample,
    subset,
    tabulate,
    tokenize,
)
from pipelines.config import UNKNOWN_LICENCE, CorpusConfig
from pipelines.corpus import Corpus
from pipelines.engine import Engine
from pipelines.progress import Display, format_seconds
from pipelines.store.leases import lease
from pipelines.store.stages import FinishedStage, Store
from pipelines.store.versions import Version


@dataclass
class Build:
    """What a build made.

    Attributes:
        config: the configuration.
        versions: the dataset versions by name, in the configuration's order.
        stages: every stage in the order it was run or found.
        files_missing: file patterns that matched nothing, by source.
    """

    config: CorpusConfig
    versions: dict[str, Version] = field(default_factory=dict)
    stages: list[FinishedStage] = field(default_factory=list)
    files_missing: dict[str, list[str]] = field(default_factory=dict)

    def encoded(self) -> dict[str, dict[str, int]]:
        """Return documents, bytes of text and tokens of every source as the tokenizer encoded them."""
        return next(stage.summary["encoded"] for stage in self.stages if stage.stage == "tokenize")

    def to_json(self) -> dict[str, Any]:
        """Return the object that `glam build --json` prints; records and documents are those of the first version."""
        first = next(iter(self.versions.values()))
        ledger = first.manifest["ledger"]
        return {
            "versions": {name: version.id for name, version in self.versions.items()},
            "paths": {name: version.url for name, version in self.versions.items()},
            "records": {source: entry["records"] for source, entry in ledger.items()},
            "documents": {source: entry["documents"] for source, entry in ledger.items()},
            "tokens": {name: component.tokens for name, component in first.components.items()},
            "encoded": self.encoded(),
            "stages": {
                "computed": sum(not s.reused for s in self.stages),
                "reused": sum(s.reused for s in self.stages),
            },
        }


STEPS = (
    "extract",
    "deduplicate",
    "holdout",
    "decontaminate",
    "tokenize",
    "classifier",
    "quality",
    "sample",
    "subset",
    "tabulate",
    "account",
    "pack",
    "mix",
)
"""The jobs in the order in which a build runs them."""


def build(
    config: CorpusConfig,
    store_url: str,
    beam_options: Sequence[str],
    display: Display,
    until: str = STEPS[-1],
    rehash: bool = False,
) -> Build:
    """Build every dataset version of a configuration.

    Args:
        config: the corpus.
        store_url: the store.
        beam_options: Beam's options (`--runner=…`).
        display: shows progress.
        until: the last of STEPS to run.
        rehash: whether to hash input files again that the store remembers (pipelines/input_digests.py).

    Raises:
        GlamError: with a message for the user.
    """
    steps = _Steps(config, Corpus(config, Store(store_url), Engine(beam_options, display), rehash=rehash), display)
    with lease(store_url, "build"):
        for name in STEPS:
            getattr(steps, name)()
            if name == until:
                break
    return steps.made


class _Steps:
    """One method a job; each takes what earlier ones made, and does nothing where the configuration asks for
    nothing.
    """

    def __init__(self, config: CorpusConfig, corpus: Corpus, display: Display) -> None:
        self.made = Build(config)
        self._config, self._display = config, display
        self._corpus = corpus
        self._variants = {variant for _, variant in config.variants()}
        self._ngrams: FinishedStage | None = None
        self._tables: dict[str, FinishedStage] = {}

    def _note(self, stage: FinishedStage) -> FinishedStage:
        self.made.stages.append(stage)
        self._display.say(_line(stage))
        return stage

    def _decide(self, stage: FinishedStage) -> None:
        self._corpus = self._corpus.with_decision(self._note(stage))

    def extract(self) -> None:
        """Raw files to documents."""
        documents, self.made.files_missing = extract.run(self._corpus, self._note)
        self._restrict(documents)
        self._corpus = replace(self._corpus, config=self._config, documents=documents)

    def _restrict(self, sources: Collection[str]) -> None:
        """Go on with the sources that have files."""
        config = self._config.restricted(sources)
        for component in sorted(set(self._config.mixture) - set(config.mixture)):
            self._display.say(
                f"  component {component} has no files: it leaves the mixture, the others keep their ratios"
            )
        self._config = self.made.config = config
        self._variants = {variant for _, variant in config.variants()}

    def deduplicate(self) -> None:
        """Select by language and length; drop exact and near duplicates."""
        self._decide(deduplicate.run(self._corpus))

    def holdout(self) -> None:
        """Set aside what nothing is trained on."""
        self._decide(holdout.run(self._corpus))
        self._corpus = self._corpus.with_training(self._corpus.decisions["holdout"])

    def decontaminate(self) -> None:
        """Find evaluation examples in the training documents; remove what the configuration says."""
        self._ngrams = decontaminate.run_ngrams(self._corpus)
        if self._ngrams is None:
            return
        self._decide(decontaminate.run(self._corpus, self._note(self._ngrams)))
        if self._corpus.removes():
            self._corpus = self._corpus.with_training(self._corpus.decisions["decontaminate"])

    def tokenize(self) -> None:
        """Train the tokenizer and encode every document once."""
        self._tokenizer = self._note(tokenize.run_tokenizer(self._corpus))
        self._decide(tokenize.run(self._corpus, self._tokenizer))

    def classifier(self) -> None:
        """Train the quality classifier."""
        if self._config.quality is not None:
            self._classifier = self._note(classifier.run(self._corpus))

    def quality(self) -> None:
        """Score documents."""
        if self._config.quality is not None:
            self._decide(quality.run(self._corpus, self._classifier))

    def sample(self) -> None:
        """Sample scored documents."""
        if self._variants - {"all"}:
            self._decide(sample.run(self._corpus))

    def subset(self) -> None:
        """Choose the random subset."""
        if "random" in self._variants:
            self._decide(subset.run(self._corpus))

    def tabulate(self) -> None:
        """Tabulate which evaluation examples are in what each version trains on."""
        if self._ngrams is not None:
            for name in self._config.versions:
                self._tables[name] = self._note(tabulate.run(self._corpus, self._ngrams, name))

    def account(self) -> None:
        """Follow documents, bytes and tokens through the decisions."""
        self._account = self._note(account.run(self._corpus))

    def pack(self) -> None:
        """Pack every variant of every component, and the held-out documents."""
        self._packed: mix.Packed = {
            (component, variant): self._note(pack.run_component(self._corpus, self._tokenizer, component, variant))
            for component, variant in self._config.variants()
        }
        self._heldout = self._note(pack.run_heldout(self._corpus, self._tokenizer))

    def mix(self) -> None:
        """Publish the dataset versions."""
        if without := [
            name for name, source in sorted(self._config.sources.items()) if source.licence == UNKNOWN_LICENCE
        ]:
            self._display.say(f"  licence unknown of {', '.join(without)} (sources.NAME.licence)")
        for name in self._config.versions:
            compared = (self._ngrams, self._tables[name]) if self._ngrams is not None else None
            version = mix.publish(
                self._corpus, name, self._tokenizer, self._packed, self._heldout, self._account, compared
            )
            self.made.versions[name] = version
            tokens = sum(component.tokens for component in version.components.values())
            self._display.say(f"  version {name}: {version.id}, {tokens:,} training tokens")


def _line(stage: FinishedStage) -> str:
    side = stage.manifest["side"]
    state = (
        "found, not computed again"
        if stage.reused
        else f"{format_seconds(side['seconds'])}, {side['cpu_seconds']:.1f} CPU s"
    )
    detail = stage.manifest["recipe"].get("source") or " ".join(
        str(stage.manifest["recipe"][k]) for k in ("component", "variant") if k in stage.manifest["recipe"]
    )
    return f"  {stage.stage}{f' ({detail})' if detail else ''}: {state}"
