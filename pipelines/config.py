"""The configuration of a corpus: a TOML file, validated before any work by a typed model.

An error names file, key, value, constraint and remedy. `recipe` methods give each stage the part of the configuration
that it reads, without paths.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from pipelines.contamination.settings import DecontaminateSettings
from pipelines.near_duplicates.settings import DeduplicateSettings
from pipelines.sources.locate import fill_data
from pipelines.sources.registry import READERS
from pipelines.store.configuration import ConfigError, Settings, load_settings
from pipelines.store.repetition import RepetitionLimits
from quality_filter.settings import QualitySettings, SamplingSettings
from tokenizer.settings import TokenizerSettings

Variant = Literal["all", "filtered", "random"]
"""Which documents of a component a version takes: all, those that sampling kept, or a random subset of as many
tokens.
"""

UNKNOWN_LICENCE = "unknown"
"""The licence of a source whose configuration names none."""

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


def parse_amount(value: Any) -> Any:
    """Turn `143B` into 143,000,000,000 (K, M, B, T); integers stay."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMBT]?)", value.strip())
    if not match:
        raise ValueError("write a number of tokens as 143000 or 143B (units K, M, B, T)")
    whole, _, fraction = match[1].partition(".")
    unit = _UNITS[match[2]]
    if fraction and unit % 10 ** len(fraction):
        raise ValueError("that is not a whole number of tokens")
    return int(whole) * unit + (int(fraction) * (unit // 10 ** len(fraction)) if fraction else 0)


Amount = Annotated[int, BeforeValidator(parse_amount), Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class Source(Settings):
    """The input of one reader.

    Attributes:
        component: what the mixture counts it to.
        reader: the native format.
        files: paths or globs; `{data}` stands for the top-level key `data`; `package:NAME/…` and
            `distribution:NAME/…` find files
            that a Python package brought.
        licence: of the texts, rolled up into the manifests of versions.
        options: of the reader.
    """

    component: Name
    reader: str
    files: list[str] = Field(min_length=1)
    licence: str = Field(UNKNOWN_LICENCE, min_length=1)
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_reader(self) -> Self:
        if self.reader not in READERS:
            raise ValueError(f"reader {self.reader!r} is none of {', '.join(sorted(READERS))}")
        READERS[self.reader].check_options(self.options)
        return self


class Extract(Settings):
    """Extraction.

    Attributes:
        shards: document shards for each source.
        error_budget: the share of a source's records that may be quarantined before the build is refused.
        accept_cut_files: go on with what could be read of files that end too early or are damaged to their end.
    """

    shards: int = Field(4, ge=1, le=4096)
    error_budget: float = Field(0.01, ge=0, le=1)
    accept_cut_files: bool = False


class Select(Settings):
    """Which documents may enter: languages (ISO 639-1; none means all) and the least number of characters."""

    languages: list[Annotated[str, Field(pattern=r"^([a-z]{2}|unknown)$")]] = Field(default_factory=list)
    min_characters: int = Field(200, ge=1)


class HoldOut(Settings):
    """What nothing is trained on: a share of each source's duplicate clusters, at least `minimum` of them and at most
    `maximum` (0: no limit), and whole sources.
    """

    share: float = Field(0.05, ge=0, lt=1)
    minimum: int = Field(1, ge=0)
    maximum: int = Field(0, ge=0)
    sources: list[Name] = Field(default_factory=list)


class Selector(Settings):
    """Documents by source and, if given, by host (a host stands for its subdomains too)."""

    sources: list[Name] = Field(min_length=1)
    hosts: list[str] = Field(default_factory=list)


class Quality(Settings):
    """The quality classifier: what it learns from, or an existing model, and which components it scores.

    Attributes:
        model: file of a classifier that `glam quality train` wrote; then nothing is trained, and documents it was
            trained on, if there are any in this corpus, are scored by what learned from them.
    """

    positives: list[Selector] = Field(default_factory=list)
    negatives: list[Selector] = Field(default_factory=list)
    scored: list[Name] = Field(default_factory=lambda: ["web"])
    model: str | None = None
    classifier: QualitySettings = Field(default_factory=QualitySettings)

    @model_validator(mode="after")
    def _check_classes(self) -> Self:
        if self.model is None and not (self.positives and self.negatives):
            raise ValueError("a classifier learns from positives and negatives: give both, or an existing model")
        return self

    def restricted(self, sources: Collection[str], components: Collection[str]) -> Quality | None:
        """Return these settings for some sources; None when no scored component is left.

        Raises:
            ConfigError: when a class has no source left and there is no model.
        """
        scored = [name for name in self.scored if name in components]
        if not scored:
            return None
        classes = {}
        for kind in ("positives", "negatives"):
            selectors = [
                selector.model_copy(update={"sources": [name for name in selector.sources if name in sources]})
                for selector in getattr(self, kind)
            ]
            classes[kind] = [selector for selector in selectors if selector.sources]
            if not classes[kind] and self.model is None:
                raise ConfigError(
                    f"quality.{kind}: none of its sources has files; name one that has, or take [quality] and the "
                    "filtered and random versions out"
                )
        return self.model_copy(update={"scored": scored, **classes})


class Pack(Settings):
    """Training records: sequence length in tokens, shards a component, and the most tokens taken of one document
    of a component.
    """

    sequence_length: int = Field(1024, ge=8, le=1 << 20)
    shards: int = Field(4, ge=1, le=65536)
    max_tokens: dict[Name, int] = Field(default_factory=dict)


class MixtureComponent(Settings):
    """A component's weight, and how many tokens of it are expected (for plans made before the data is there)."""

    weight: float = Field(gt=0)
    expected_tokens: Amount | None = None


class CorpusConfig(Settings):
    """A whole corpus: sources, decisions, mixture and the dataset versions to publish."""

    name: Name
    data: str = "."
    seed: int = Field(17, ge=0, lt=2**63)
    sources: dict[Name, Source] = Field(min_length=1)
    extract: Extract = Field(default_factory=Extract)
    select: Select = Field(default_factory=Select)
    deduplicate: DeduplicateSettings = Field(default_factory=DeduplicateSettings)
    holdout: HoldOut = Field(default_factory=HoldOut)
    decontaminate: DecontaminateSettings | None = None
    quality: Quality | None = None
    sample: SamplingSettings = Field(default_factory=SamplingSettings)
    tokenizer: TokenizerSettings = Field(default_factory=TokenizerSettings)
    pack: Pack = Field(default_factory=Pack)
    mixture: dict[Name, MixtureComponent] = Field(min_length=1)
    mixture_limits: RepetitionLimits = Field(default_factory=RepetitionLimits)
    versions: dict[Name, dict[Name, Variant]] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        components = {source.component for source in self.sources.values()}
        _require_known("mixture", set(self.mixture), components, "a component of no source")
        _require_known("holdout.sources", set(self.holdout.sources), set(self.sources), "not a source")
        _require_known("pack.max_tokens", set(self.pack.max_tokens), components, "a component of no source")
        _require_known("deduplicate.priority", set(self.deduplicate.priority), components, "a component of no source")
        for name, variants in self.versions.items():
            _require_known(f"versions.{name}", set(variants), set(self.mixture), "not a component of the mixture")
        self._check_quality(components)
        total = sum(component.weight for component in self.mixture.values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"mixture: the weights sum to {total:g}, they must sum to 1; change a weight")
        return self

    def _check_quality(self, components: set[str]) -> None:
        wants = {c for variants in self.versions.values() for c, variant in variants.items() if variant != "all"}
        scored = set(self.quality.scored) if self.quality else set()
        if wants - scored:
            raise ValueError(
                f"versions: {', '.join(sorted(wants - scored))} is filtered or sampled but not in quality.scored; "
                "score the component or take all of it"
            )
        if self.quality:
            _require_known("quality.scored", scored, components, "a component of no source")
            for kind, selectors in (("positives", self.quality.positives), ("negatives", self.quality.negatives)):
                for selector in selectors:
                    _require_known(f"quality.{kind}", set(selector.sources), set(self.sources), "not a source")

    def restricted(self, sources: Collection[str]) -> CorpusConfig:
        """Return this configuration for the sources that have files.

        Components without any leave the mixture, whose other weights keep their ratios; so a configuration may name
        more than a folder holds.

        Raises:
            ConfigError: when nothing is left for a class of the quality classifier.
        """
        if set(sources) == set(self.sources):
            return self
        kept = {name: source for name, source in self.sources.items() if name in sources}
        components = {source.component for source in kept.values()}
        mixture = {name: part for name, part in self.mixture.items() if name in components}
        if not mixture:
            raise ConfigError(f"{self.name}: no component of the mixture has files; mend the patterns of its sources")
        total = sum(part.weight for part in mixture.values())
        versions = {
            name: {component: variant for component, variant in variants.items() if component in mixture}
            for name, variants in self.versions.items()
        }
        return self.model_copy(
            update={
                "sources": kept,
                "mixture": {n: p.model_copy(update={"weight": p.weight / total}) for n, p in mixture.items()},
                "versions": versions,
                "quality": self.quality and self.quality.restricted(kept, components),
                "holdout": self.holdout.model_copy(
                    update={"sources": [name for name in self.holdout.sources if name in kept]}
                ),
            }
        )

    def with_files_beside(self, path: str) -> CorpusConfig:
        """Return this configuration with what it names by files beside `path`, its own.

        Raises:
            ConfigError: when such a file is refused.
        """
        if self.decontaminate is None:
            return self
        return self.model_copy(update={"decontaminate": self.decontaminate.with_sets_file(path)})

    def weights(self) -> dict[str, float]:
        """Return the mixture's weights by component, in order of name, scaled to sum to 1."""
        total = sum(component.weight for component in self.mixture.values())
        return {name: self.mixture[name].weight / total for name in sorted(self.mixture)}

    def variants(self) -> list[tuple[str, Variant]]:
        """Return every (component, variant) that a version takes, sorted."""
        taken = {(name, variants.get(name, "all")) for variants in self.versions.values() for name in self.mixture}
        return sorted(taken)

    def source_options(self, name: str) -> dict[str, Any]:
        """Return a source's reader options, `{data}` filled in."""
        options = self.sources[name].options
        return {k: fill_data(v, self.data) if isinstance(v, str) else v for k, v in options.items()}

    def source_recipe(self, name: str) -> dict[str, Any]:
        """Return what decides a source's documents, apart from its files."""
        source = self.sources[name]
        options = READERS[source.reader].check_options(source.options)
        return {"source": name, "component": source.component, "reader": source.reader, "options": options}

    def version_recipe(self, name: str) -> dict[str, Any]:
        """Return everything that decides the bytes of a version, without names of files and folders."""
        variants = {component: self.versions[name].get(component, "all") for component in sorted(self.mixture)}
        recipe = {
            "seed": self.seed,
            "sources": [self.source_recipe(source) for source in sorted(self.sources)],
            "extract": {"shards": self.extract.shards},
            "select": self.select.model_dump(),
            "deduplicate": self.deduplicate.model_dump(mode="json"),
            "holdout": self.holdout.model_dump(),
            "tokenizer": self.tokenizer.model_dump(exclude={"model"}),
            "pack": self.pack.model_dump(),
            "weights": self.weights(),
            "variants": variants,
        }
        if self.decontaminate and self.decontaminate.remove != "nothing":
            recipe |= {"decontaminate": self.decontaminate.recipe()}
        if set(variants.values()) != {"all"} and self.quality:
            recipe |= {"quality": self.quality.model_dump(exclude={"model"}), "sample": self.sample.model_dump()}
        return recipe


def _require_known(key: str, names: set[str], known: set[str], problem: str) -> None:
    if names - known:
        raise ValueError(f"{key}: {', '.join(sorted(names - known))} is {problem}; known: {', '.join(sorted(known))}")


def load_corpus_config(path: str, overrides: Sequence[str] = ()) -> CorpusConfig:
    """Read a corpus configuration.

    Args:
        path: the TOML file.
        overrides: `key=value`, the key dotted (`sample.alpha=3`), the value as in TOML; a bare word is a string.

    Raises:
        ConfigError: when the file, a key or a value is refused.
    """
    return load_settings(CorpusConfig, path, overrides).with_files_beside(path)
