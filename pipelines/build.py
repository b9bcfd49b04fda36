"""Build: the jobs in order, from raw files to dataset versions. It only orders them; each is a stage of its own.

    extract ─ deduplicate ─ holdout ─ classifier ─ quality ─ sample ─┐
                               └───── tokenizer ─ tokenize ──────────┴─ subset ─ pack ─ mix

A stage that is finished under the same fingerprint is not run again; a build that was stopped goes on after its last
finished stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines import classifier, deduplicate, extract, holdout, mix, pack, quality, sample, subset, tokenize
from pipelines.config import CorpusConfig
from pipelines.corpus import Corpus
from pipelines.engine import Engine
from pipelines.progress import Display, format_seconds
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
            "stages": {
                "computed": sum(not s.reused for s in self.stages),
                "reused": sum(s.reused for s in self.stages),
            },
        }


def build(config: CorpusConfig, store_url: str, beam_options: Sequence[str], display: Display) -> Build:
    """Build every dataset version of a configuration.

    Args:
        config: the corpus.
        store_url: the store.
        beam_options: Beam's options (`--runner=…`).
        display: shows progress.

    Raises:
        StoreError, SourceError, EngineError, MixtureError, LedgerImbalanceError: with a message for the user.
    """
    made = Build(config)

    def note(stage: FinishedStage) -> FinishedStage:
        made.stages.append(stage)
        display.say(_line(stage))
        return stage

    corpus = Corpus(config, Store(store_url), Engine(beam_options, display))
    documents, made.files_missing = extract.run(corpus, note)
    corpus = Corpus(config, corpus.store, corpus.engine, documents)
    corpus = corpus.with_decision(note(deduplicate.run(corpus)))
    corpus = corpus.with_decision(note(holdout.run(corpus)))
    tokenizer = note(tokenize.run_tokenizer(corpus))
    corpus = corpus.with_decision(note(tokenize.run(corpus, tokenizer)))
    taken = {variant for _, variant in config.variants()}
    if config.quality is not None:
        model = note(classifier.run(corpus))
        corpus = corpus.with_decision(note(quality.run(corpus, model)))
        if taken - {"all"}:
            corpus = corpus.with_decision(note(sample.run(corpus)))
        if "random" in taken:
            corpus = corpus.with_decision(note(subset.run(corpus)))
    packed = {
        (component, variant): note(pack.run_component(corpus, tokenizer, component, variant))
        for component, variant in config.variants()
    }
    heldout = note(pack.run_heldout(corpus, tokenizer))
    for name in config.versions:
        version = mix.publish(corpus, name, tokenizer, packed, heldout)
        made.versions[name] = version
        tokens = sum(component.tokens for component in version.components.values())
        display.say(f"  version {name}: {version.id}, {tokens:,} training tokens")
    return made


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
