"""Epochs of the paper's table, verdicts at the limits, and remedies that remedy."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.config import parse_amount
from pipelines.store.repetition import (
    RepetitionLimits,
    explain,
    format_amount,
    format_epochs,
    largest_budget,
    largest_weight,
    plan_repetition,
)

LIMITS = RepetitionLimits()
WEIGHTS = {"web": 0.42, "wikipedia": 0.06, "conversations": 0.28, "forums": 0.02, "books": 0.2, "news": 0.02}
BILLIONS = {"web": 143, "wikipedia": 3, "conversations": 174, "forums": 247, "books": 390, "news": 650}
AVAILABLE = {name: tokens * 10**9 for name, tokens in BILLIONS.items()}


def test_the_papers_table_gives_the_papers_epochs():
    uses = {use.component: use for use in plan_repetition(WEIGHTS, AVAILABLE, 600 * 10**9, LIMITS)}
    assert uses["wikipedia"].epochs == 12
    shown = {name: format_epochs(use.epochs) for name, use in uses.items()}
    assert shown == {
        "web": "1.76",
        "wikipedia": "12.00",
        "conversations": "0.97",
        "forums": "0.05",
        "books": "0.31",
        "news": "0.018",
    }
    assert {name for name, use in uses.items() if use.verdict == "warning"} == {"wikipedia"}
    assert sum(use.asked for use in uses.values()) == 600 * 10**9


@pytest.mark.parametrize(
    ("budget", "verdict"), [(40, "ok"), (41, "warning"), (160, "warning"), (161, "refused")], ids=str
)
def test_the_limits_themselves_are_allowed(budget, verdict):
    (use,) = plan_repetition({"web": 1.0}, {"web": 10}, budget, LIMITS)
    assert use.verdict == verdict


def test_tokens_that_nobody_knows_are_judged_by_nobody():
    (use,) = plan_repetition({"web": 1.0}, {}, 10, LIMITS)
    assert (use.verdict, use.epochs) == ("unknown", None)


def test_a_refusal_names_component_epochs_and_limit():
    uses = plan_repetition(WEIGHTS, AVAILABLE, 600 * 10**9, RepetitionLimits(max_epochs=8))
    (refused,) = [use for use in uses if use.verdict == "refused"]
    message = explain(refused, RepetitionLimits(max_epochs=8))
    assert message == "component wikipedia: 12.00 epochs of its 3B tokens, over max_epochs = 8"
    assert largest_budget(refused, 8) == 400 * 10**9
    assert largest_weight(refused, 8) == Fraction(4, 100)


@given(
    st.floats(0.001, 1), st.integers(1, 10**12), st.integers(1, 10**13), st.floats(0.1, 100).map(lambda x: round(x, 2))
)
def test_a_remedy_is_just_enough(weight, tokens, budget, most):
    def epochs_of(share, tokens_asked):
        uses = plan_repetition({"a": share, "b": 1.0}, {"a": tokens, "b": tokens}, tokens_asked, LIMITS)
        return next(use for use in uses if use.component == "a")

    use = epochs_of(weight, budget)
    lower = largest_budget(use, most)
    if lower:
        assert epochs_of(weight, lower).epochs <= Fraction(repr(most))
    assert epochs_of(weight, lower + 1).epochs > Fraction(repr(most))
    assert largest_weight(use, most) * budget / tokens == Fraction(repr(most))


@given(st.integers(1, 10**15))
def test_amounts_are_rounded_down_and_read_back(tokens):
    shown = parse_amount(format_amount(tokens))
    assert shown <= tokens
    assert tokens - shown <= tokens // 1000


def test_a_warning_above_the_refusal_is_refused():
    with pytest.raises(ValidationError, match="warn_epochs = 4 is more than max_epochs = 3"):
        RepetitionLimits(max_epochs=3)
