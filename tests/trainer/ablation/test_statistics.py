"""The intervals are checked by simulation: the truth is known, the noise is seeds and documents as in a real study."""

import math

import numpy as np
import pytest

from trainer.ablation.scores import RESAMPLES, DocumentScores, Domain, resample
from trainer.ablation.statistics import (
    CONFIDENCE,
    bootstrap_interval,
    compare,
    detectable_effect,
    half_width,
    seeds_needed,
    standard_errors,
)

ONE = [Domain("news", "source", ("news",))]
STUDIES = 2000
SLACK = 3 * math.sqrt(CONFIDENCE * (1 - CONFIDENCE) / STUDIES)
NOISES = pytest.mark.parametrize(
    ("seed_deviation", "document_deviation"), [(0.01, 0.0), (0.01, 0.05), (0.002, 0.1)], ids=["seeds", "both", "texts"]
)
SEEDS = pytest.mark.parametrize("seeds", [3, 5, 10])


def simulated_rates(rng, shape, effect, seed_deviation, document_deviation):
    """Bits per byte of A less those of B, (…, seeds, documents), whose true mean is `effect`."""
    by_document = rng.normal(0, document_deviation, (*shape[:-2], 1, shape[-1]))
    of_seed = rng.normal(0, seed_deviation, (*shape[:-1], 1))
    return effect + by_document + of_seed + rng.normal(0, 0.02, shape)


def simulated_study(rng, seeds, effect, seed_deviation, document_deviation, documents=60, source="news"):
    """Runs of two arms whose true difference (A − B) is `effect` bits per byte."""
    lengths = rng.integers(200, 4000, documents)
    shared = rng.normal(2.4, 0.3, documents)
    rates = simulated_rates(rng, (seeds, documents), effect, seed_deviation, document_deviation)
    runs_a = [{source: DocumentScores(lengths * (shared + rate), lengths)} for rate in rates]
    return runs_a, [{source: DocumentScores(lengths * shared, lengths)} for _ in range(seeds)]


def simulated_studies(seeds, effect, seed_deviation, document_deviation, documents=60):
    """Differences by seed (studies, seeds) and over resamples of the documents (resamples, studies, seeds)."""
    rng = np.random.default_rng(seeds)
    lengths = rng.integers(200, 4000, documents)
    rates = simulated_rates(rng, (STUDIES, seeds, documents), effect, seed_deviation, document_deviation)
    change = (lengths * rates).reshape(-1, documents)
    by_seed = (change.sum(axis=1) / lengths.sum()).reshape(STUDIES, seeds)
    return by_seed, resample("news", change, lengths, 200).reshape(-1, STUDIES, seeds)


def simulated_intervals(seeds, effect, seed_deviation, document_deviation, documents=60):
    """Differences and half-widths of the verdict interval of many studies at once, by the functions of `compare`."""
    by_seed, replicates = simulated_studies(seeds, effect, seed_deviation, document_deviation, documents)
    of_seeds, of_documents = standard_errors(by_seed, replicates, documents)
    return by_seed.mean(axis=1), half_width(of_seeds, seeds, of_documents, documents)


@SEEDS
@NOISES
def test_interval_covers_at_its_rate_and_calls_a_null_effect_no_more_often(seeds, seed_deviation, document_deviation):
    found, half = simulated_intervals(seeds, 0.0, seed_deviation, document_deviation)
    called = (abs(found) > half).mean()
    assert called <= 0.05 + SLACK
    assert 0.95 - SLACK <= 1 - called <= 0.98 + SLACK
    assert (found > half).mean() <= 0.025 + SLACK  # neither arm is favoured
    assert (found < -half).mean() <= 0.025 + SLACK


@SEEDS
@NOISES
def test_interval_covers_an_effect_and_one_of_the_detectable_size_is_told_four_times_in_five(
    seeds, seed_deviation, document_deviation
):
    noise = math.hypot(seed_deviation, 0.02 / math.sqrt(60)), document_deviation / math.sqrt(60) * 1.15
    effect = detectable_effect(seeds, *noise, documents=60)
    found, half = simulated_intervals(seeds, effect, seed_deviation, document_deviation)
    assert (abs(found - effect) <= half).mean() >= 0.95 - SLACK
    assert 0.74 <= (found > half).mean() <= 0.88


def test_many_studies_at_once_have_the_intervals_of_one_by_one():
    rng = np.random.default_rng(9)
    study_a, study_b = simulated_study(rng, 5, 0.01, 0.01, 0.05)
    (found,) = compare(study_a, study_b, ONE)
    change = np.stack([a["news"].bits - b["news"].bits for a, b in zip(study_a, study_b, strict=True)])
    replicates = resample("news", change, study_a[0]["news"].bytes, RESAMPLES)
    of_seeds, of_documents = standard_errors(np.array([found.by_seed]), replicates[:, None], 60)
    assert half_width(of_seeds, 5, of_documents, 60) == pytest.approx([(found.high - found.low) / 2])
    assert bootstrap_interval(replicates[:, None])[:, 0] == pytest.approx([found.bootstrap_low, found.bootstrap_high])


def test_percentile_bootstrap_over_three_seeds_covers_too_little():
    low, high = bootstrap_interval(simulated_studies(3, 0.02, 0.01, 0.0)[1])
    assert 0.7 < ((low <= 0.02) & (high >= 0.02)).mean() < 0.82  # why the verdict does not rest on it


def test_a_clear_gain_is_called_and_named_after_the_better_arm():
    study = simulated_study(np.random.default_rng(11), 3, -0.1, 0.002, 0.01)
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


def test_a_source_of_a_single_document_does_not_leave_its_domain_without_a_verdict():
    rng = np.random.default_rng(9)
    news = simulated_study(rng, 3, 0.1, 0.001, 0.01)
    mail = simulated_study(rng, 3, -5.0, 0.001, 0.0, documents=1, source="mail")
    a, b = ([left | right for left, right in zip(n, m, strict=True)] for n, m in zip(news, mail, strict=True))
    component = Domain("all", "component", ("mail", "news"))
    whole, alone, single = compare(a, b, [component, *ONE, Domain("mail", "source", ("mail",))])
    assert (whole.difference, whole.low, whole.high, whole.documents) == (
        alone.difference,
        alone.low,
        alone.high,
        alone.documents,
    )
    assert single.low is None


def test_arms_that_scored_different_documents_are_not_paired():
    a, _ = simulated_study(np.random.default_rng(6), 3, 0, 0.01, 0.01)
    _, b = simulated_study(np.random.default_rng(7), 3, 0, 0.01, 0.01)
    with pytest.raises(ValueError, match="news: the runs scored different documents"):
        compare(a, b, ONE)


def test_one_seed_is_refused():
    a, b = simulated_study(np.random.default_rng(8), 1, 0, 0.01, 0.01)
    with pytest.raises(ValueError, match="at least two"):
        compare(a, b, ONE)
