"""Figures from histograms equal their definitions over single documents."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality_filter.evaluation import auc, count_scores, histogram_by_source, precision_at, reliability

SCORES = st.lists(st.sampled_from([0, 1, 2, 40_000, 65_535]) | st.integers(0, 65_535), min_size=1, max_size=25)


def counts(scores: list[int]) -> np.ndarray:
    return count_scores(np.array(scores, np.int32))


@given(SCORES, SCORES)
def test_auc_is_the_share_of_ordered_pairs_with_half_of_the_ties(positives, negatives):
    wins = sum(Fraction(int(p > n)) + Fraction(int(p == n), 2) for p in positives for n in negatives)
    assert auc(counts(positives), counts(negatives)) == wins / (len(positives) * len(negatives))


@given(SCORES, SCORES)
def test_histograms_of_parts_add_up(first, second):
    assert (counts(first) + counts(second)).tolist() == counts(first + second).tolist()


def test_auc_counts_more_pairs_than_fit_in_64_bits():
    many = counts([7]) * 10**10
    assert auc(many, many) == Fraction(1, 2)
    assert auc(counts([8]) * 10**10, many) == 1


@given(SCORES, SCORES, st.integers(0, 65_535))
def test_precision_and_recall_equal_their_definitions(positives, negatives, score):
    (row,) = precision_at(counts(positives), counts(negatives), [score])
    right, wrong = sum(p >= score for p in positives), sum(n >= score for n in negatives)
    assert row.recall == Fraction(right, len(positives))
    assert row.precision == (Fraction(right, right + wrong) if right + wrong else None)


@given(SCORES, SCORES)
def test_reliability_equals_its_definition(positives, negatives):
    rows = reliability(counts(positives), counts(negatives), bins=10)
    assert sum(row.documents for row in rows) == len(positives) + len(negatives)
    for row in rows:
        right = [p for p in positives if row.low <= p < row.high]
        both = right + [n for n in negatives if row.low <= n < row.high]
        assert row.documents == len(both)
        if both:
            assert row.positive_share == Fraction(len(right), len(both))
            assert row.mean_probability == sum(Fraction(2 * s + 1, 2 * 65536) for s in both) / len(both)
        else:
            assert row.mean_probability is row.positive_share is None


def test_histogram_by_source_has_equal_ranges():
    bins = histogram_by_source({"web": counts([0, 3275, 3276, 65_535]), "news": counts([65_535])})
    assert list(bins) == ["news", "web"]
    assert bins["web"] == [2, 1, *[0] * 16, 0, 1]
    assert bins["news"] == [*[0] * 19, 1]


def test_what_cannot_be_measured_is_refused():
    none = counts([1]) * 0
    with pytest.raises(ValueError, match="both classes"):
        auc(counts([1]), none)
    with pytest.raises(ValueError, match="needs positives"):
        precision_at(none, counts([1]), [5])
    with pytest.raises(ValueError, match="must be in 0"):
        counts([65_536])
