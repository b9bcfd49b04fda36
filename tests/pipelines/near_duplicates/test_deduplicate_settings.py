"""Bands from a threshold, and what is refused."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from pydantic import ValidationError

from pipelines.near_duplicates.settings import MINIMUM_RECALL, DeduplicateSettings, choose_bands, describe, recall_at


def test_the_default_is_20_bands_of_6_rows_which_find_995_in_1000_at_the_threshold() -> None:
    settings = DeduplicateSettings()
    assert (settings.bands, settings.rows, settings.permutations) == (20, 6, 120)
    assert choose_bands(0.8, 120) == (20, 6)
    assert settings.recall == pytest.approx(0.99771, abs=1e-5)
    assert "0.9977 at 0.8" in describe(settings)


def test_computed_recall_is_what_random_signatures_show() -> None:
    agree = np.random.default_rng(0).random((20_000, 20, 6)) < 0.6
    assert agree.all(axis=2).any(axis=1).mean() == pytest.approx(recall_at(0.6, 20, 6), abs=0.01)


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9, 1.0])
def test_bands_follow_the_threshold(threshold: float) -> None:
    settings = DeduplicateSettings(threshold=threshold)
    assert settings.recall >= MINIMUM_RECALL
    assert recall_at(threshold, 120 // (settings.rows + 1), settings.rows + 1) < MINIMUM_RECALL or threshold == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"threshold": 0.7, "bands": 20, "rows": 6}, r"find only 0\.9182 .* use \d+ bands of \d rows"),
        ({"bands": 30, "rows": 6}, r"bands x rows = 30 x 6 is more than permutations = 120"),
        ({"bucket_limit": 10}, r"bucket_limit = 10 is below twice bucket_neighbors = 8; use at least 16"),
        ({"priority": ["web", "web"]}, r"names a component twice"),
        ({"threshold": 0.001, "permutations": 10}, r"use more permutations or a higher threshold"),
        ({"threshold": 1.5}, r"less than or equal to 1"),
        ({"shingles": 5}, r"Extra inputs"),
    ],
)
def test_what_cannot_work_is_refused_with_the_remedy(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DeduplicateSettings.model_validate(values)


def test_what_only_spreads_the_work_is_in_no_recipe() -> None:
    assert not {"rounds", "partitions"} & set(DeduplicateSettings(partitions=3).model_dump())


def test_the_threshold_is_the_fraction_that_was_written() -> None:
    assert DeduplicateSettings(threshold=0.8).exact_threshold == Fraction(4, 5)


def test_components_that_are_not_named_come_last() -> None:
    settings = DeduplicateSettings(priority=["books", "web"])
    assert [settings.priority_rank(name) for name in ("books", "web", "news", "forums")] == [0, 1, 2, 2]
