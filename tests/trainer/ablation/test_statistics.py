"""The intervals are checked by simulation: the truth is known, the noise is seeds and documents as in a real study."""

import math

import numpy as np
import pytest

from trainer.ablation.statistics import (
    CONFIDENCE,
    DocumentScores,
    Domain,
    compare,
    detectable_effect,
    seeds_needed,
)

ONE = [Domain("news", "source", ("news",))]
STUDIES = 500
SLACK = 3 * math.sqrt(CONFIDENCE * (1 - CONFIDENCE) / STUDIES)


def simulated_study(rng, seeds, effect, seed_deviation, document_deviation, documents=60, source="news"):
    """Runs of two arms whose true difference (A − B) is `effect` bits per byte."""
    lengths = rng.integers(200, 4000, documents)
    shared = rng.normal(2.4, 0.3, documents)
    by_document = rng.normal(0, document_deviation, documents)
    runs_a, runs_b = [], []
    for _ in range(seeds):
        of_seed = rng.normal(0, seed_deviation)
        noise = rng.normal(0, 0.02, documents)
        runs_a.append({source: DocumentScores(lengths * (shared + effect + by_document + of_seed + noise), lengths)})
        runs_b.append({source: DocumentScores(lengths * shared, lengths)})
    return runs_a, runs_b


def coverage(seeds, effect, seed_deviation, document_deviation):
    rng = np.random.default_rng(seeds)
    inside = called = 0
    for _ in range(STUDIES):
        study = simulated_study(rng, seeds, effect, seed_deviation, document_deviation)
        (found,) = compare(*study, ONE, resamples=200)
        inside += found.low <= effect <= found.high
        called += found.distinguishable
    return inside / STUDIES, called / STUDIES


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize(
    ("seed_deviation", "document_deviation"), [(0.01, 0.0), (0.01, 0.05), (0.002, 0.1)], ids=["seeds", "both", "texts"]
)
def test_interval_covers_at_its_rate_and_calls_a_null_effect_no_more_often(seeds, seed_deviation, document_deviation):
    covered, called = coverage(seeds, 0.0, seed_deviation, document_deviation)
    assert 0.95 - SLACK <= covered <= 0.98 + SLACK
    assert called <= 0.05 + SLACK


def test_percentile_bootstrap_over_three_seeds_covers_too_little():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(STUDIES):
        (found,) = compare(*simulated_study(rng, 3, 0.02, 0.01, 0.0), ONE, resamples=200)
        inside += found.bootstrap_low <= 0.02 <= found.bootstrap_high
    assert 0.65 < inside / STUDIES < 0.85  # why the verdict does not rest on it


def test_a_clear_gain_is_called_and_named_after_the_better_arm():
    study = simulated_study(np.random.default_rng(1), 3, -0.1, 0.002, 0.01)
    (found,) = compare(*study, ONE)
    assert found.distinguishable
    assert found.low < -0.1 < found.high
    assert found.verdict("filtered", "random").startswith("filtered better by 0.")
    (reverse,) = compare(study[1], study[0], ONE)
    assert reverse.difference == pytest.approx(-found.difference)
    assert reverse.verdict("random", "filtered").startswith("filtered better by 0.")
    text = found.verdict("filtered", "random")
    assert f"[{-found.high:.3f}, {-found.low:.3f}] bits per byte" in text


def test_a_verdict_that_cannot_be_given_says_how_many_seeds_it_would_take():
    (found,) = compare(*simulated_study(np.random.default_rng(2), 3, 0.03, 0.02, 0.001), ONE)
    assert not found.distinguishable
    assert found.seeds_needed is not None
    assert found.seeds_needed > 3
    assert f"would need about {found.seeds_needed} seeds" in found.verdict("a", "b")


def test_seeds_needed_is_the_least_number_whose_detectable_effect_is_small_enough():
    needed = seeds_needed(0.01, 0.01, 0.001, 500)
    assert detectable_effect(needed, 0.01, 0.001, 500) <= 0.01 < detectable_effect(needed - 1, 0.01, 0.001, 500)


def test_no_number_of_seeds_makes_up_for_too_few_documents():
    assert seeds_needed(0.01, 0.001, 0.02, 50) is None


def test_a_domain_is_the_mean_over_its_sources_and_not_over_their_bytes():
    rng = np.random.default_rng(3)
    news = simulated_study(rng, 3, 0.1, 0.0, 0.0, documents=500)
    books = simulated_study(rng, 3, -0.1, 0.0, 0.0, documents=20, source="books")
    a, b = ([left | right for left, right in zip(n, k, strict=True)] for n, k in zip(news, books, strict=True))
    (found,) = compare(a, b, [Domain("curated", "curated", ("news", "books"))])
    assert found.difference == pytest.approx(0, abs=0.01)
    assert found.documents == 520
    assert found.mean_a - found.mean_b == pytest.approx(found.difference)


def test_the_same_scores_give_the_same_figures_whatever_else_is_compared():
    study = simulated_study(np.random.default_rng(4), 3, 0.01, 0.01, 0.05)
    alone = compare(*study, ONE)
    assert compare(*study, [*ONE, Domain("all", "component", ("news",))])[0] == alone[0]


def test_a_single_document_gives_no_verdict():
    (found,) = compare(*simulated_study(np.random.default_rng(5), 3, 0.5, 0.001, 0.0, documents=1), ONE)
    assert not found.distinguishable
    assert "single held-out document" in found.verdict("a", "b")


def test_arms_that_scored_different_documents_are_not_paired():
    a, _ = simulated_study(np.random.default_rng(6), 3, 0, 0.01, 0.01)
    _, b = simulated_study(np.random.default_rng(7), 3, 0, 0.01, 0.01)
    with pytest.raises(ValueError, match="news: the runs scored different documents"):
        compare(a, b, ONE)


def test_one_seed_is_refused():
    a, b = simulated_study(np.random.default_rng(8), 1, 0, 0.01, 0.01)
    with pytest.raises(ValueError, match="at least two"):
        compare(a, b, ONE)
