"""Settings of deduplication, and the recall that a choice of bands gives. Imports neither Beam nor numpy."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Self

from pydantic import Field, model_validator

from pipelines.store.configuration import Settings

MINIMUM_RECALL = 0.995


def recall_at(similarity: float, bands: int, rows: int) -> float:
    """Return the probability that two documents of this Jaccard similarity share a bucket: 1 - (1 - s^rows)^bands.

    Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", section 3.4.2.
    """
    return 1.0 - (1.0 - similarity**rows) ** bands


def choose_bands(threshold: float, permutations: int, minimum_recall: float = MINIMUM_RECALL) -> tuple[int, int]:
    """Return the (bands, rows) of most rows, hence fewest false candidates, whose recall at `threshold` suffices.

    Raises:
        ValueError: when not even one row a band suffices.
    """
    for rows in range(permutations, 0, -1):
        bands = permutations // rows
        if recall_at(threshold, bands, rows) >= minimum_recall:
            return bands, rows
    raise ValueError(
        f"{permutations} permutations cannot find pairs at threshold {threshold} with recall {minimum_recall}; "
        "use more permutations or a higher threshold"
    )


class DeduplicateSettings(Settings):
    """What counts as a duplicate, and which document of a cluster stays.

    `bands` and `rows` follow from threshold and permutations when they are not given. `rounds` and `partitions` decide
    how the work is spread and never what comes out, so they are left out of `model_dump` and of every recipe.
    """

    threshold: float = Field(0.8, gt=0, le=1, description="least Jaccard similarity of near-duplicates")
    permutations: int = Field(120, ge=1, le=1024, description="length of a MinHash signature")
    bands: int = Field(20, ge=1, description="buckets that a document falls into")
    rows: int = Field(6, ge=1, description="signature values that two documents of one bucket share")
    shingle_words: int = Field(5, ge=1, le=32, description="words a shingle (characters in scripts without spaces)")
    priority: list[str] = Field(default_factory=list, description="components, the first ones stay; others come last")
    bucket_limit: int = Field(32, ge=3, description="members of a bucket up to which all pairs are compared")
    bucket_neighbors: int = Field(8, ge=1, description="in larger buckets, following members each is compared with")
    rounds: int = Field(8, ge=1, le=64, exclude=True, description="large-star / small-star rounds")
    partitions: int = Field(16, ge=1, le=1 << 16, exclude=True, description="groups a shuffle is spread over")

    @model_validator(mode="before")
    @classmethod
    def _derive_bands(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "bands" in values or "rows" in values:
            return values
        threshold, permutations = values.get("threshold", 0.8), values.get("permutations", 120)
        if not isinstance(threshold, int | float) or not isinstance(permutations, int):
            return values
        if not (0 < threshold <= 1 and permutations >= 1):
            return values
        bands, rows = choose_bands(threshold, permutations)
        return {**values, "bands": bands, "rows": rows}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.bands * self.rows > self.permutations:
            raise ValueError(
                f"bands x rows = {self.bands} x {self.rows} is more than permutations = {self.permutations}; "
                "leave bands and rows out to have them chosen"
            )
        if self.recall < MINIMUM_RECALL:
            bands, rows = choose_bands(self.threshold, self.permutations)
            raise ValueError(
                f"{self.bands} bands of {self.rows} rows find only {self.recall:.4f} of the pairs at threshold "
                f"{self.threshold}, at least {MINIMUM_RECALL} are required; use {bands} bands of {rows} rows"
            )
        if self.bucket_limit < 2 * self.bucket_neighbors:
            raise ValueError(
                f"bucket_limit = {self.bucket_limit} is below twice bucket_neighbors = {self.bucket_neighbors}; "
                f"use at least {2 * self.bucket_neighbors}"
            )
        if len(set(self.priority)) != len(self.priority):
            raise ValueError(f"priority = {self.priority} names a component twice; name each once")
        return self

    @property
    def recall(self) -> float:
        """Share of the pairs exactly at the threshold that become candidates."""
        return recall_at(self.threshold, self.bands, self.rows)

    @property
    def exact_threshold(self) -> Fraction:
        """The threshold as the fraction that its decimal digits say, for comparisons in integers."""
        return Fraction(repr(self.threshold))

    def priority_rank(self, component: str) -> int:
        """Return the place of a component in `priority`; those not named share the last."""
        return self.priority.index(component) if component in self.priority else len(self.priority)


def describe(settings: DeduplicateSettings) -> str:
    """Return the line that a run prints at its start: the bands and what they find."""
    points = [round(settings.threshold + step, 4) for step in (-0.3, -0.2, -0.1, 0, 0.1)]
    curve = ", ".join(f"{recall_at(s, settings.bands, settings.rows):.4f} at {s:g}" for s in points if 0 < s <= 1)
    return f"near-duplicates: {settings.bands} bands of {settings.rows} rows find a pair with probability {curve}"
