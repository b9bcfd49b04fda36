"""The table of thresholds is exact, and sampling by it has the rates of the closed form."""

from __future__ import annotations

import hashlib
from decimal import Decimal, localcontext

import numpy as np
import pytest

from quality_filter.sampling import ParetoTable, closed_form_share, rank_quantile
from quality_filter.settings import SamplingSettings


def reference_threshold(alpha: str, s: int) -> int:
    with localcontext() as context:
        context.prec = 80
        return int((2 - Decimal(s) / 65536) ** -Decimal(alpha) * 2**64)


@pytest.mark.parametrize("alpha", ["1", "3", "9", "2.5", "0.3", "6.283"])
def test_thresholds_equal_high_precision_decimals(alpha):
    thresholds = ParetoTable(alpha).thresholds
    for s in (*range(0, 65536, 1009), 32767, 32768, 65534, 65535):
        assert int(thresholds[s]) == reference_threshold(alpha, s)


@pytest.mark.parametrize("alpha", ["0.5", "3", "9"])
def test_a_higher_score_is_never_less_likely_to_stay(alpha):
    thresholds = ParetoTable(alpha).thresholds
    assert (thresholds[1:] > thresholds[:-1]).all()


def test_the_ends_of_the_table():
    table = ParetoTable("3")
    assert int(table.thresholds[0]) == 2**61
    assert int(table.thresholds[65535]) < 2**64
    assert table.keeps(2**61 - 1, 0)
    assert not table.keeps(2**61, 0)
    assert not table.keeps(2**64 - 1, 65535)


@pytest.mark.parametrize("alpha", ["1", "3", "9", "2.5"])
def test_share_kept_over_all_ranks_equals_the_closed_form(alpha):
    assert float(ParetoTable(alpha).share_kept()) == pytest.approx(closed_form_share(float(alpha)), abs=2e-5)


def test_the_shares_that_the_design_names():
    assert closed_form_share(3) == 0.375
    assert closed_form_share(9) == pytest.approx(0.1245, abs=1e-4)


def test_keyed_draws_keep_at_the_rate_of_each_score():
    table, count = ParetoTable("3"), 20_000
    draws = np.array(
        [int.from_bytes(hashlib.blake2b(n.to_bytes(4, "big"), digest_size=8).digest(), "big") for n in range(count)],
        np.uint64,
    )
    for s in (0, 30_000, 65_000):
        rate = (2 - s / 65536) ** -3
        kept = int(table.keep(draws, np.full(count, s)).sum())
        assert abs(kept - rate * count) < 4 * (count * rate * (1 - rate)) ** 0.5


def test_many_and_one_agree():
    table = ParetoTable("2.5")
    s = np.arange(0, 65536, 97)
    draws = table.thresholds[s] + np.uint64(1) - (s % 2).astype(np.uint64)  # just above, or at least at, the threshold
    assert table.keep(draws, s).tolist() == [table.keeps(int(u), int(x)) for u, x in zip(draws, s, strict=True)]
    assert not table.keep(table.thresholds[s], s).any()
    assert table.keep(table.thresholds[s] - np.uint64(1), s).all()


@pytest.mark.parametrize("s", [-1, 65536])
def test_a_score_outside_the_units_is_refused(s):
    with pytest.raises(ValueError, match="outside 0"):
        ParetoTable("3").keeps(0, s)
    with pytest.raises(ValueError, match="outside 0"):
        ParetoTable("3").keep(np.zeros(1, np.uint64), np.array([s]))


@pytest.mark.parametrize("alpha", ["0", "-1", "nan", "inf", "three"])
def test_an_alpha_that_is_no_shape_is_refused(alpha):
    with pytest.raises(ValueError, match="alpha"):
        ParetoTable(alpha)
    with pytest.raises(ValueError, match="alpha"):
        SamplingSettings(alpha=alpha)


def test_equal_numbers_are_one_setting():
    assert SamplingSettings(alpha=3.0) == SamplingSettings(alpha="3") == SamplingSettings(alpha=3)
    assert SamplingSettings(alpha=2.50).alpha == "2.5"


def test_rank_quantiles_are_in_range_and_even():
    ranks = [rank_quantile(position, 1000) for position in range(1000)]
    assert ranks[0] == 0
    assert ranks[-1] == 65470
    assert ranks == sorted(ranks)
    assert rank_quantile(10**12 - 1, 10**12) == 65535
    with pytest.raises(ValueError, match="position"):
        rank_quantile(5, 5)
