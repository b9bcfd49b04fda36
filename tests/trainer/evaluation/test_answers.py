"""Answers are compared by the owners' rules; the cases are those that the rules differ in."""

from __future__ import annotations

import pytest

from trainer.evaluation import answers
from trainer.evaluation.metrics import generation_metric
from trainer.evaluation.task import Generation

QUESTION = {"context": "", "target": "", "answers": "[]"}


def score(metric: str, rules: str, prediction: str, right: list, no_answer: str | None = None) -> float:
    generation = Generation.model_validate(QUESTION | {"rules": rules, "no_answer": no_answer})
    columns, of_sums = generation_metric(metric, generation, [{"prediction": prediction, "answers": right}])
    return float(of_sums(columns.sum(axis=0)))


@pytest.mark.parametrize(
    ("text", "squad", "triviaqa"),
    [
        ("The  Beatles!", "beatles", "beatles"),
        ("a U.S. city, an", "us city", "u s city"),
        ("rock-and-roll", "rockandroll", "rock and roll"),
        ("‘Hamlet’_play", "‘hamlet’play", "hamlet play"),
        ("Theatre", "theatre", "theatre"),
    ],
)
def test_texts_are_normalized_by_each_owners_rule(text, squad, triviaqa):
    assert (answers.squad_text(text), answers.triviaqa_text(text)) == (squad, triviaqa)


@pytest.mark.parametrize(
    ("prediction", "right", "em", "f1"),
    [
        ("the Eiffel Tower", ["Eiffel Tower"], 100, 100),
        ("in Paris, France", ["Paris"], 0, 50),
        ("Paris Paris", ["Paris"], 0, 200 / 3),
        ("London", ["Paris", "London"], 100, 100),
        ("", [""], 100, 100),
        ("", ["Paris"], 0, 0),
        ("Paris", [""], 0, 0),
        ("Unanswerable.", [""], 100, 100),
        ("unanswerable", ["Paris"], 0, 0),
    ],
)
def test_squad(prediction, right, em, f1):
    assert score("em", "squad", prediction, right, "unanswerable") == em
    assert score("f1", "squad", prediction, right, "unanswerable") == pytest.approx(f1)


@pytest.mark.parametrize(
    ("prediction", "right", "em", "f1"),
    [
        ("5", [["5.0"]], 100, 100),
        ("5 yards", [["5"]], 0, 67),
        ("6 yards", [["5 yards"]], 0, 0),
        ("12-yard", [["12 yard"]], 100, 100),
        ("Smith; Jones", [["Jones", "Smith"]], 100, 100),
        ("Smith", [["Jones", "Smith"]], 0, 50),
        ("Smith; Jones; Brown", [["Smith"]], 0, 33),
        ("10,000", [["10000"]], 100, 100),
        ("the north", [["south"], ["North"]], 100, 100),
        ("", [["south"]], 0, 0),
    ],
)
def test_drop(prediction, right, em, f1):
    assert score("em", "drop", prediction, right) == em
    assert score("f1", "drop", prediction, right) == f1


def test_coqa_takes_the_best_answer_and_beside_it_the_owners_mean_without_one_at_a_time():
    right = ["white", "white", "a pale white", "grey"]
    assert score("f1", "coqa", "white", right) == 100
    assert score("f1_leave_one_out", "coqa", "white", right) == 100
    assert score("f1_leave_one_out", "coqa", "grey", right) == 75
    assert score("f1_leave_one_out", "coqa", "grey", ["grey"]) == 100


def test_quac_answers_that_say_there_is_none_count_where_they_are_not_fewer():
    none = answers.CANNOT_ANSWER
    assert score("f1", "quac", none, [none, "in 1990"]) == 100
    assert score("f1", "quac", "in 1990", [none, "in 1990"]) == 0
    assert score("f1", "quac", "in 1990", [none, "in 1990", "1990"]) == 100


@pytest.mark.parametrize(
    ("prediction", "em"),
    [("signs", 100), ("signs.", 100), ("“signs” of life", 100), ("sign", 0), ("the signs", 0), ("", 0)],
)
def test_of_lambada_the_first_word_counts(prediction, em):
    assert score("em", "first_word", prediction, ["signs"]) == em
