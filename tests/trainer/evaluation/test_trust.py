"""Scores of models whose scores are known, on every real set: the right answers, guesses, always the same."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from tests.trainer.evaluation.scripted import CONFIGS, catalogue, choosing, guessing, oracle, real_set, run
from trainer.evaluation.evaluate import Asking

NO_FILE = {"quac", "storycloze", "stereoset_intrasentence", "stereoset_intersentence"}
NAMES = sorted(path.stem for path in (CONFIGS / "tasks").glob("*.toml"))
RANKING = [name for name in NAMES if catalogue().tasks[name].ranking and name not in NO_FILE]
WITH_ANSWERS = [
    name
    for name in NAMES
    if name not in NO_FILE
    and (catalogue().tasks[name].generation or (name in RANKING and catalogue().tasks[name].ranking.gold))
]
CLASSES = ("boolq", "cb", "rte", "wic", "wsc", "multirc", "anli_r1", "anli_r2", "anli_r3")
LARGE = 1500
"""Of larger sets the oracle is asked so many examples: enough to find an answer that its own rules refuse."""

GUESSED = 5000

EXAMPLES = {
    "triviaqa": 6330,
    "nq_open": 2824,
    "webqs": 1625,
    "squadv2": 4795,
    "lambada": 4090,
    "drop": 769,
    "coqa": 6275,
    "hellaswag": 7967,
    "winograd": 210,
    "winogrande": 1012,
    "race_m": 384,
    "race_h": 384,
    "piqa": 1470,
    "arc_easy": 1900,
    "arc_easy_dev": 456,
    "arc_challenge": 937,
    "arc_challenge_dev": 239,
    "openbookqa": 400,
    "openbookqa_dev": 400,
    "boolq": 2615,
    "copa": 80,
    "rte": 221,
    "wic": 510,
    "cb": 44,
    "wsc": 83,
    "multirc": 3941,
    "record": 25,
    "anli_r1": 736,
    "anli_r2": 734,
    "anli_r3": 894,
    "winogender": 576,
    "winogender_mc": 96,
    "crows_pairs": 1206,
    "blimp": 53600,
    "sciq": 768,
    "wikitext2": 49,
    "wikitext2_dev": 48,
}
"""As the description of the sets counts them: questions of SQuAD, turns of CoQA, answers of MultiRC."""


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_every_example_of_a_set_is_read(name):
    assert len(real_set(name).examples) == EXAMPLES[name]


@pytest.mark.parametrize("name", WITH_ANSWERS)
def test_a_model_that_knows_the_answers_scores_100(name):
    one = real_set(name, LARGE)
    found = run(oracle(one), one)["0"]
    for metric, figure in found.metrics.items():
        assert figure.score == 100 or metric == "f1_leave_one_out", (metric, figure)
    assert found.figure.n == min(LARGE, EXAMPLES[name])


@pytest.mark.parametrize("name", RANKING)
def test_a_model_that_guesses_scores_chance(name):
    one = real_set(name, GUESSED)
    ranking = one.task.ranking
    found = run(guessing(ranking.normalization == "tokens"), one)["0"]
    error = (found.figure.high - found.figure.low) / (2 * 1.96)
    assert abs(found.figure.score - found.chance) < 3 * error, (found.figure, found.chance)


@pytest.mark.parametrize("name", RANKING)
def test_options_that_are_equally_good_share_the_credit(name):
    one = real_set(name, 300)
    found = run(choosing(None), one)["0"]
    assert math.isclose(found.figure.score, found.chance)


@pytest.mark.parametrize("name", CLASSES)
def test_a_model_that_always_says_the_commonest_class_scores_the_majority(name):
    one = real_set(name)
    gold = Counter(one.reader.question(example).gold[0] for example in one.examples)
    option, count = gold.most_common(1)[0]
    found = run(choosing(option), one)["0"]
    assert math.isclose(found.figure.score, found.majority)
    if "accuracy" in found.metrics:
        assert math.isclose(found.metrics["accuracy"].score, 100 * count / len(one.examples))


def test_a_majority_is_told_where_the_options_are_classes_and_nowhere_else():
    told = {name for name in RANKING if run(choosing(0), real_set(name, 50))["0"].majority is not None}
    assert told == set(CLASSES)


@pytest.mark.parametrize("name", ["arc_easy", "race_m"])
def test_unconditional_likelihoods_are_subtracted_where_they_are_wanted(name):
    one = real_set(name, 200)
    found = run(oracle(one), one, Asking(unconditional=True))["0"]
    assert found.figure.score == 100
    guessed = run(guessing(normalized=False), one, Asking(unconditional=True))["0"]
    assert abs(guessed.figure.score - 25) < 3 * 100 * math.sqrt(0.25 * 0.75 / 200)
    model = choosing(0)
    run(model, one, Asking(unconditional=True))
    assert sum(request.purpose.unconditional for request in model.asked) == len(model.asked) / 2
    assert np.all([request.tokens[0] == model.document_start for request in model.asked])
