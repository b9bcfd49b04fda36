"""Cost at equal scores, on made curves whose true factor is known."""

import math

import numpy as np
import pytest

from trainer.ablation.saving import Priced, match, trend
from trainer.ablation.scores import DomainScores

COSTS = [1e12, 3e12, 1e13, 3e13]
FACTOR = 2.5
STUDIES = 200


def exact(score):
    return DomainScores(np.full(3, score), np.full((200, 3), score), 100, 100)


def dense_score(cost):
    return 3.0 - 0.15 * math.log(cost / 1e12)


def moe_score(cost, factor=FACTOR):
    return dense_score(cost * factor)


def noisy_arms(rng, names_and_scores, seeds, seed_deviation=0.004, document_deviation=0.05, documents=80):
    """Scores with noise of each run, of each document (which all arms share in part) and of both."""
    shared = rng.normal(0, 0.3, documents)
    drawn = rng.multinomial(documents, [1 / documents] * documents, size=200) / documents
    found = {}
    for name, score in names_and_scores.items():
        of_arm = rng.normal(0, document_deviation, documents)
        runs = score + shared + of_arm + rng.normal(0, seed_deviation, (seeds, 1)) + np.zeros((seeds, documents))
        found[name] = DomainScores(runs.mean(axis=1), drawn @ runs.T, documents, documents)
    return found


def test_without_noise_the_factor_is_the_true_one_and_the_interval_is_narrow():
    saver = [Priced(f"moe{n}", cost, exact(moe_score(cost))) for n, cost in enumerate(COSTS)]
    found = match(saver, Priced("dense", 8e12, exact(dense_score(8e12))))
    assert found.outcome == "reached"
    answer = found.to_json()
    assert answer["factor"] == pytest.approx(FACTOR, rel=1e-6)


def test_between_neighbors_the_score_is_linear_in_the_logarithm_of_the_cost():
    saver = [Priced("small", 1e12, exact(3.0)), Priced("large", 4e12, exact(2.0))]
    assert match(saver, Priced("dense", 4e12, exact(2.5))).at == pytest.approx(2e12)


def test_arms_may_stand_in_any_order():
    saver = [Priced("large", 4e12, exact(2.0)), Priced("small", 1e12, exact(3.0))]
    assert match(saver, Priced("dense", 4e12, exact(2.5))).at == pytest.approx(2e12)


def test_outside_of_the_bracket_nothing_is_said_but_that():
    saver = [Priced("small", 1e12, exact(3.0)), Priced("large", 4e12, exact(2.0))]
    too_good = match(saver, Priced("dense", 4e12, exact(1.9))).to_json()
    assert (too_good["outcome"], too_good["factor"], too_good["at"]) == ("not reached", None, None)
    too_bad = match(saver, Priced("dense", 4e12, exact(3.1))).to_json()
    assert (too_bad["outcome"], too_bad["at"]) == ("reached by the least", pytest.approx(1e12))


def test_an_interval_that_runs_into_the_end_of_the_line_is_open_there():
    rng = np.random.default_rng(0)
    scores = noisy_arms(rng, {"small": 3.0, "large": 2.99, "dense": 2.991}, 3)
    saver = [Priced("small", 1e12, scores["small"]), Priced("large", 2e12, scores["large"])]
    found = match(saver, Priced("dense", 2e12, scores["dense"]))
    assert found.low is None
    assert found.high is None


def test_two_arms_of_one_cost_make_no_line():
    saver = [Priced("a", 1e12, exact(3.0)), Priced("b", 1e12, exact(2.0))]
    with pytest.raises(ValueError, match="a, b: a line needs at least two arms of different cost"):
        match(saver, Priced("dense", 1e12, exact(2.5)))


@pytest.mark.parametrize("seeds", [3, 5])
def test_the_interval_of_the_factor_covers_at_its_rate(seeds):
    rng = np.random.default_rng(seeds)
    wanted = {f"moe{n}": moe_score(cost) for n, cost in enumerate(COSTS)} | {"dense": dense_score(1e13)}
    inside = 0
    for _ in range(STUDIES):
        scores = noisy_arms(rng, wanted, seeds)
        found = match(
            [Priced(f"moe{n}", cost, scores[f"moe{n}"]) for n, cost in enumerate(COSTS)],
            Priced("dense", 1e13, scores["dense"]),
        ).to_json()
        inside += (found["factor_low"] or 0) <= FACTOR <= (found["factor_high"] or math.inf)
    assert 0.95 - 3 * math.sqrt(0.0475 / STUDIES) <= inside / STUDIES


def matches_of(scores, sizes):
    saver = [Priced(f"moe{n}", cost, scores[f"moe{n}"]) for n, cost in enumerate(COSTS)]
    return [match(saver, Priced(f"dense{n}", size, scores[f"dense{n}"])) for n, size in enumerate(sizes)]


def test_a_factor_that_narrows_with_size_has_a_falling_trend():
    sizes = [4e12, 1.2e13, 4e13]
    factors = [3.5, 3.0, 2.0]
    scores = {f"moe{n}": exact(moe_score(cost, 1.0)) for n, cost in enumerate(COSTS)}
    scores |= {f"dense{n}": exact(dense_score(s / f)) for n, (s, f) in enumerate(zip(sizes, factors, strict=True))}
    matches = matches_of(scores, sizes)
    assert [found.to_json()["factor"] for found in matches] == pytest.approx(factors, rel=1e-6)
    found = trend(matches, 100)
    slope = np.polyfit(np.log10(sizes), np.log10(factors), 1)[0]
    assert found["times"] == pytest.approx(10**slope, rel=1e-6)
    assert found["sizes"] == 3


@pytest.mark.parametrize("seeds", [3, 5])
def test_a_level_factor_is_seldom_called_a_trend(seeds):
    rng = np.random.default_rng(seeds)
    sizes = [4e12, 1.2e13, 4e13]
    wanted = {f"moe{n}": moe_score(cost) for n, cost in enumerate(COSTS)}
    wanted |= {f"dense{n}": dense_score(size) for n, size in enumerate(sizes)}
    called = 0
    for _ in range(STUDIES):
        found = trend(matches_of(noisy_arms(rng, wanted, seeds), sizes), 80)
        called += found is not None and not found["low"] <= 1 <= found["high"]
    assert called / STUDIES <= 0.05 + 3 * math.sqrt(0.0475 / STUDIES)


def test_one_size_shows_no_trend():
    saver = [Priced("small", 1e12, exact(3.0)), Priced("large", 4e12, exact(2.0))]
    assert trend([match(saver, Priced("dense", 4e12, exact(2.5)))], 100) is None
