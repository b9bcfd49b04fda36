"""Weights from small models: they sum to 1, keep to the cap, and follow the scores."""

import tomllib
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipelines.mixture import WeightsError, derive_weights, mixture_toml, read_scores

NAMES = ("books", "forums", "news", "web", "wikipedia")
SCORES = {name: Decimal(score) for name, score in zip(NAMES, ("1.1", "1.5", "1.45", "1.2", "1.0"), strict=True)}
ENOUGH = dict.fromkeys(NAMES, 10**12)
HALVING = Decimal("0.1")

scores_by_name = st.fixed_dictionaries(
    dict.fromkeys(NAMES, st.decimals("0.5", "4", allow_nan=False, allow_infinity=False, places=3))
)
tokens_by_name = st.fixed_dictionaries(dict.fromkeys(NAMES, st.integers(1, 10**6)))


def rows(scores, available=ENOUGH, budget=10**6, epochs=4, halving=HALVING):
    derived = derive_weights(scores, available, budget, Fraction(epochs), halving)
    return {entry.component: entry.rows for entry in derived}


def test_a_difference_of_the_halving_halves_a_weight():
    halved = rows({"a": Decimal("1.0"), "b": Decimal("1.1"), "c": Decimal("1.2")}, {}, halving=Decimal("0.1"))
    assert halved == {"a": 571, "b": 286, "c": 143}  # 4 : 2 : 1


def test_what_the_cap_takes_goes_to_the_others_in_their_ratios():
    scores = {"a": Decimal("1.0"), "b": Decimal("1.1"), "c": Decimal("1.2")}
    assert rows(scores, {"a": 25_000}, budget=10**6, epochs=4) == {"a": 100, "b": 600, "c": 300}


@given(scores_by_name, tokens_by_name, st.integers(1, 10**6), st.integers(1, 16))
def test_weights_sum_to_one_and_keep_to_the_cap(scores, available, budget, epochs):
    assume(sum(min(1000, 1000 * epochs * tokens // budget) for tokens in available.values()) >= 1000)
    derived = derive_weights(scores, available, budget, Fraction(epochs), HALVING)
    assert sum(entry.weight for entry in derived) == 1
    for entry in derived:
        assert entry.weight * budget <= epochs * available[entry.component]
        assert entry.rows >= 1 or entry.most == 0


@given(scores_by_name, tokens_by_name, st.integers(1, 10**6))
def test_a_better_component_has_no_smaller_weight_unless_it_is_at_its_cap(scores, available, budget):
    assume(sum(min(1000, 4000 * tokens // budget) for tokens in available.values()) >= 1000)
    derived = derive_weights(scores, available, budget, Fraction(4), HALVING)
    for better, worse in pairwise(derived):
        assert better.score <= worse.score
        if better.score < worse.score:
            assert better.rows >= min(worse.rows, better.most)
            assert better.uncapped >= worse.uncapped


@given(scores_by_name, st.sampled_from(NAMES), st.decimals("0.001", "1", places=3))
def test_a_better_score_gives_no_smaller_weight(scores, name, gain):
    assume(scores[name] - gain > 0)
    assert rows({**scores, name: scores[name] - gain})[name] >= rows(scores)[name]


@given(st.permutations(NAMES))
def test_the_order_in_which_scores_come_changes_nothing(order):
    assert rows({name: SCORES[name] for name in order}) == rows(SCORES)


def test_a_component_with_hardly_any_text_leaves_the_mixture():
    derived = derive_weights(SCORES, {**ENOUGH, "news": 1}, 10**6, Fraction(4), HALVING)
    toml = mixture_toml(derived, {})
    assert "# news has too little text" in toml
    weights = {name: Decimal(str(part["weight"])) for name, part in tomllib.loads(toml)["mixture"].items()}
    assert set(weights) == set(NAMES) - {"news"}
    assert sum(weights.values()) == 1


def test_too_little_text_for_the_budget_is_refused_with_the_largest_budget():
    available = dict.fromkeys(NAMES, 1000)
    with pytest.raises(WeightsError, match=r"lower the budget to 20,000, raise max_epochs or add text"):
        rows(SCORES, available, budget=10**6, epochs=4)
    assert sum(rows(SCORES, available, budget=20_000, epochs=4).values()) == 1000


def test_scores_are_read_from_json_and_csv(tmp_path):
    (tmp_path / "scores.json").write_text('{"web": 1.31, "news": 2}')
    (tmp_path / "scores.csv").write_text("\ufeffcomponent,score\nweb,1.31\nnews,2\n")  # as Excel writes it
    expected = {"web": Decimal("1.31"), "news": Decimal(2)}
    assert read_scores(str(tmp_path / "scores.json")) == read_scores(str(tmp_path / "scores.csv")) == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "[1]", "not scores"),
        ("a.json", '{"web": "good"}', "not scores"),
        ("a.json", '{"web": -1}', "web = -1; a score is the bits per byte"),
        ("a.json", "{}", "no score"),
        ("a.csv", "name,value\nweb,1\n", "not scores"),
        ("a.csv", "component,score\nweb,NaN\n", "web = NaN"),
    ],
)
def test_what_is_no_score_is_refused_by_file(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(WeightsError, match=rf"{name}: .*{message}"):
        read_scores(str(tmp_path / name))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.json: cannot be read \(No such file"):
        read_scores(str(tmp_path / "none.json"))
