"""A run as a model of lm-evaluation-harness: its requests are ours, and scores of like definitions are equal."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.evaluation.scripted import real_sets
from trainer.evaluation.evaluated_model import GenerationRequest, LikelihoodRequest

pytest.importorskip("lm_eval", reason="the extra `eval` is not installed")
BENCHMARK = Path(__file__).resolve().parents[3] / "benchmarks" / "harness_agreement.py"
ALIKE = ("boolq", "arc_easy", "openbookqa", "sciq", "rte", "wic")


@pytest.fixture(scope="module")
def store(version) -> str:
    return str(Path(version.url).parents[1])


@pytest.fixture(scope="module")
def harness(run, store):
    from trainer.evaluation.harness import HarnessModel

    return HarnessModel(run[1], store)


def instances(kind: str, arguments: list[tuple]) -> list:
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, each, number) for number, each in enumerate(arguments)]


def test_log_likelihoods_are_ours_after_the_document_start(harness):
    model = harness.model
    pairs = [("A question:", " yes"), ("A question: ", "no"), ("", "A whole text"), ("word " * 60, "and an end")]
    found = harness.loglikelihood(instances("loglikelihood", pairs), disable_tqdm=True)
    encoded = [
        ("A question:", " yes"),
        ("A question:", " no"),
        ("", "A whole text"),
        (("word " * 60).rstrip(), " and an end"),
    ]
    requests = []
    for context, continuation in encoded:
        before, after = model.encode([context, continuation])
        tokens = np.array([model.document_start, *before, *after], np.int32)[-model.context - 1 :]
        requests.append(LikelihoodRequest(tokens, len(tokens) - len(after)))
    likelihoods, greedy = model.score(requests)
    assert [value for value, _ in found] == pytest.approx(likelihoods.tolist())
    assert [flag for _, flag in found] == greedy.tolist()


def test_rolling_log_likelihoods_are_those_of_all_tokens(harness):
    text = "The quick brown fox jumps over the lazy dog. " * 9
    short, long, empty = harness.loglikelihood_rolling(
        instances("loglikelihood_rolling", [(text[:16],), (text,), ("",)]), disable_tqdm=True
    )
    assert empty == 0
    (whole,) = harness.loglikelihood(instances("loglikelihood", [("", text[:16])]), disable_tqdm=True)
    assert short == pytest.approx(whole[0])
    assert long < short < 0


def test_generation_stops_before_the_texts_that_the_task_names(harness):
    (free,) = harness.generate_until(instances("generate_until", [("The", {"until": [], "max_gen_toks": 12})]))
    assert free
    stop = free[3:5]
    (stopped,) = harness.generate_until(instances("generate_until", [("The", {"until": [stop], "max_gen_toks": 12})]))
    assert stopped == free[: free.index(stop)]
    (beam,) = harness.generate_until(instances("generate_until", [("The", {"num_beams": 4, "max_gen_toks": 6})]))
    start = np.array([harness.model.document_start, *harness.model.encode(["The"])[0]], np.int32)
    assert harness.model.generate([GenerationRequest(start, (), 6)]) == [beam]


def test_scores_of_tasks_that_both_define_alike_are_equal(run, store):
    compare = runpy.run_path(str(BENCHMARK))["compare"]
    rows = list(compare(run[1], store, real_sets(), 25, ALIKE))
    assert {row["task"] for row in rows} == set(ALIKE)
    assert [row for row in rows if not row["equal"]] == []
    assert any(row["ties"] == 0 for row in rows)
