"""How well the rates predict a build that was measured: CPU seconds by stage, predicted from the build's own text.

In: a dataset version in its store, rates. Out: `Checked` by stage. What is checked are the rates and the reckoning with
them, at the size of that build; the shares that a plan assumes are taken from the build as they came out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pipelines.planning.corpus import STAGES
from pipelines.planning.rates import Rates
from pipelines.store.files import join
from pipelines.store.stages import read_manifest
from pipelines.store.versions import Version


class Checked(NamedTuple):
    """CPU seconds of a stage as predicted and as its manifests tell."""

    predicted: float
    measured: float

    @property
    def error(self) -> float | None:
        """By how much the prediction is larger, as a share of what was measured."""
        return self.predicted / self.measured - 1 if self.measured else None


def check_rates(version: Version, store_url: str, rates: Rates) -> dict[str, Checked]:
    """Return predicted and measured CPU seconds by stage."""
    measured: dict[str, float] = {}
    packed = 0
    for name in version.manifest["stages"]:
        manifest = read_manifest(join(store_url, "stages", name), "stage")
        stage = manifest["stage"].removesuffix("_heldout")
        measured[stage] = measured.get(stage, 0.0) + manifest["side"]["cpu_seconds"]
        if stage == "pack":
            packed += sum(part["bytes"] for part in manifest["summary"].values())
    there = [stage for stage in STAGES if stage in measured]
    predicted = _predicted(version, there[1:], packed, rates)
    return {stage: Checked(predicted[stage], measured[stage]) for stage in there}


def _predicted(version: Version, stages: Sequence[str], packed: int, rates: Rates) -> dict[str, float]:
    """Return CPU seconds of extraction and of these stages."""
    ledger = version.manifest["ledger"]
    recipes = {source["source"]: source for source in version.manifest["recipe"]["sources"]}
    text = {source: entry["stages"]["deduplicate"]["bytes"] for source, entry in ledger.items()}
    unique = {source: amounts["out"] for source, amounts in text.items()}
    scored_components = {name for name, entry in version.components.items() if entry.variant != "all"}
    scored = sum(size for source, size in unique.items() if recipes[source]["component"] in scored_components)
    everything = sum(unique.values())
    amounts = {"deduplicate": sum(sizes["in"] for sizes in text.values()), "pack": packed}
    amounts |= {"quality": scored, "sample": scored}
    seconds = {"extract": 0.0}
    for source, sizes in text.items():
        seconds["extract"] += sizes["in"] / rates.reader(recipes[source]["reader"]).speed
    for stage in stages:
        rate = rates.stage(stage)
        seconds[stage] = rate.start + amounts.get(stage, everything) / rate.speed
    return seconds
