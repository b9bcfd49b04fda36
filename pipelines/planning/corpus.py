"""What a corpus will take before it is there: text at every stage, CPU hours, bytes sent and kept, money.

In: a configuration whose mixture says how many tokens of each component are expected, measured rates, assumptions.
Out: a `CorpusPlan`. From the tokens that are to come out it reckons back to the text and the files that must go in.
What does not grow with the corpus is left out: tokenizer and classifier learn from samples of a fixed size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import log
from typing import Any

from pipelines.config import CorpusConfig
from pipelines.planning.assumptions import CorpusAssumptions
from pipelines.planning.rates import Rates
from pipelines.store.errors import GlamError

GB = 1e9
STAGES = ("extract", "deduplicate", "holdout", "decontaminate", "tokenize", "quality", "sample", "account", "pack")
"""Stages whose work grows with the corpus."""


@dataclass(frozen=True)
class ComponentFlow:
    """Text of one component, in bytes of UTF-8 but for `tokens` and `raw`.

    Attributes:
        tokens: that are to come out.
        packed: text of those tokens.
        unique: after selection and deduplication; what is scored, encoded and sampled from.
        extracted: of all documents.
        raw: bytes of the input files.
        readers: of the component's sources.
        scored: whether sampling chooses from it.
    """

    tokens: int
    packed: float
    unique: float
    extracted: float
    raw: float
    readers: tuple[str, ...]
    scored: bool


@dataclass(frozen=True)
class StageCost:
    """What one stage takes: CPU hours, bytes between workers, bytes kept in the store."""

    cpu_hours: float
    sent: float
    kept: float


@dataclass(frozen=True)
class CorpusPlan:
    """A plan.

    Attributes:
        components: text by component.
        stages: cost by stage.
        assumptions: that it rests on.
    """

    components: dict[str, ComponentFlow]
    stages: dict[str, StageCost]
    assumptions: CorpusAssumptions

    @property
    def cpu_hours(self) -> float:
        """CPU hours of all stages, on cores like the measured one."""
        return sum(stage.cpu_hours for stage in self.stages.values())

    @property
    def core_hours(self) -> float:
        """Hours of a worker's core, idle time included."""
        return self.cpu_hours / self.assumptions.core_speed / self.assumptions.busy

    def hours(self, workers: int) -> float:
        """Return the hours of wall clock that so many workers need."""
        return self.core_hours / (workers * self.assumptions.worker_cores)

    def cost(self) -> dict[str, float]:
        """Return US dollars by part; `storage` is of a month, without the input files."""
        prices = self.assumptions
        sent = sum(stage.sent for stage in self.stages.values()) / GB
        return {
            "cores": self.core_hours * prices.core_price,
            "memory": self.core_hours * prices.worker_memory * prices.memory_price,
            "shuffle": sent * prices.shuffle_price,
            "storage": sum(stage.kept for stage in self.stages.values()) / GB * prices.storage_price,
        }

    def to_json(self) -> dict[str, Any]:
        """Return what `glam plan --json` prints of the corpus."""
        return {
            "components": {
                name: vars(flow) | {"readers": list(flow.readers)} for name, flow in self.components.items()
            },
            "stages": {name: vars(stage) for name, stage in self.stages.items()},
            "cpu_hours": self.cpu_hours,
            "core_hours": self.core_hours,
            "dollars": self.cost(),
        }


def plan_corpus(config: CorpusConfig, rates: Rates, assumptions: CorpusAssumptions) -> CorpusPlan:
    """Return the plan of a configuration.

    Raises:
        GlamError: when the mixture does not say how many tokens of a component are expected.
    """
    missing = [name for name, part in config.mixture.items() if part.expected_tokens is None]
    if missing:
        raise GlamError(
            f"{config.name}: nobody knows how many tokens {', '.join(missing)} will have; add expected_tokens under "
            f'[mixture], or --set mixture.{missing[0]}.expected_tokens="10B"'
        )
    flows = {name: _flow(config, name, rates, assumptions) for name in config.mixture}
    amounts = _amounts(flows) | ({} if config.decontaminate else {"decontaminate": 0.0})
    costs = {"extract": _extraction(flows, rates)} | {
        stage: _cost(stage, amounts[stage], rates) for stage in STAGES if stage in amounts
    }
    return CorpusPlan(flows, costs, assumptions)


def sampled_share(config: CorpusConfig, assumptions: CorpusAssumptions) -> float:
    """Return the share of scored text that sampling keeps.

    By rank r, uniform in [0, 1], it is the mean of (2 − r)^−α: (1 − 2^(1 − α)) / (α − 1), and ln 2 for α = 1. By raw
    score it hangs on the scores, and is assumed.
    """
    alpha = float(Decimal(config.sample.alpha))
    if config.sample.on == "score":
        return assumptions.sampled
    return log(2) if alpha == 1 else (1 - 2 ** (1 - alpha)) / (alpha - 1)


def _flow(config: CorpusConfig, name: str, rates: Rates, assumptions: CorpusAssumptions) -> ComponentFlow:
    """Reckon back from a component's tokens; those of its filtered part, where a version takes that."""
    filtered = any(variants.get(name, "all") == "filtered" for variants in config.versions.values())
    scored = filtered and config.quality is not None and name in config.quality.scored
    tokens = config.mixture[name].expected_tokens or 0
    packed = tokens * assumptions.bytes_per_token
    unique = packed / sampled_share(config, assumptions) if scored else packed
    unique /= 1 - config.holdout.share
    extracted = unique / assumptions.unique / (assumptions.selected if scored else assumptions.selected_others)
    readers = tuple(sorted({source.reader for source in config.sources.values() if source.component == name}))
    raw = extracted * max(rates.reader(reader).raw for reader in readers)
    return ComponentFlow(tokens, packed, unique, extracted, raw, readers, scored)


def _extraction(flows: Mapping[str, ComponentFlow], rates: Rates) -> StageCost:
    """Return the cost of extraction; a component of several readers counts as read by the slowest."""
    hours = sent = kept = 0.0
    for flow in flows.values():
        rate = min((rates.reader(reader) for reader in flow.readers), key=lambda rate: rate.speed)
        hours += flow.extracted / rate.speed / 3600
        sent += flow.extracted * rate.sent
        kept += flow.extracted * rate.kept
    return StageCost(hours, sent, kept)


def _amounts(flows: Mapping[str, ComponentFlow]) -> dict[str, float]:
    """Return the bytes of text that come into each stage after extraction."""
    unique = sum(flow.unique for flow in flows.values())
    scored = sum(flow.unique for flow in flows.values() if flow.scored)
    return dict.fromkeys(STAGES[1:], unique) | {
        "deduplicate": sum(flow.extracted for flow in flows.values()),
        "quality": scored,
        "sample": scored,
        "pack": sum(flow.packed for flow in flows.values()),
    }


def _cost(stage: str, amount: float, rates: Rates) -> StageCost:
    if not amount:
        return StageCost(0.0, 0.0, 0.0)
    rate = rates.stage(stage)
    return StageCost((amount / rate.speed + rate.start) / 3600, amount * rate.sent, amount * rate.kept)
