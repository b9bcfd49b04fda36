"""All real sets run on a small checkpoint, with the model's own tokenizer and context."""

from __future__ import annotations

import pytest

from pipelines.progress import SilentDisplay
from tests.trainer.evaluation.scripted import catalogue, real_set
from tests.trainer.evaluation.test_trust import EXAMPLES, RANKING, WITH_ANSWERS
from trainer.evaluation.checkpoint import load_checkpoint
from trainer.evaluation.evaluate import Asking, evaluate_tasks
from trainer.evaluation.means import means

LIMIT = 200
ANSWERED = 16
TEXTS = ("wikitext2", "wikitext2_dev", "lambada_text")
GENERATIVE = [name for name in WITH_ANSWERS if catalogue().tasks[name].generation]


@pytest.fixture(scope="module")
def results(version, run):
    model = load_checkpoint(run[1], version)
    names = [*RANKING, *TEXTS]
    sets = [real_set(name, LIMIT) for name in names]
    ranked = evaluate_tasks(model, sets, Asking(("0", "few")), SilentDisplay())
    return ranked | evaluate_tasks(model, [real_set(name, ANSWERED) for name in GENERATIVE], Asking(), SilentDisplay())


def test_every_ranking_set_has_a_score_by_a_checkpoint(results):
    for name in RANKING:
        found = results[name]["0"]
        assert found.figure.n == min(LIMIT, EXAMPLES[name])
        assert found.figure.low <= found.figure.score <= found.figure.high
        assert 0 < found.figure.score < 100
        assert 0 <= found.truncated <= found.figure.n
    assert results["race_h"]["0"].truncated == LIMIT


def test_demonstrations_that_have_no_room_are_counted(results):
    with_demonstrations = {name for name in RANKING if "few" in results[name]}
    assert with_demonstrations == {
        name for name in RANKING if catalogue().sets[catalogue().tasks[name].set].demonstrations
    }
    assert results["race_h"]["few"].dropped == 2 * LIMIT
    for name in with_demonstrations:
        found = results[name]["few"]
        assert 0 < found.dropped <= found.shots * found.figure.n


def test_every_generative_set_is_answered_by_beam_search(results):
    assert sorted(GENERATIVE) == ["coqa", "drop", "lambada", "nq_open", "squadv2", "triviaqa", "webqs"]
    for name in GENERATIVE:
        found = results[name]["0"]
        assert found.figure.n == ANSWERED
        assert 0 <= found.figure.score < 100


def test_perplexity_of_words_and_bits_of_bytes_agree(results):
    for name in TEXTS:
        metrics = results[name]["0"].metrics
        assert set(metrics) == {"word_perplexity", "bits_per_byte"}
        assert 1 < metrics["bits_per_byte"].score < 10
        assert metrics["word_perplexity"].score > 100


def test_means_are_plain_and_say_how_many_columns_they_have(results):
    made = means(results, "0", catalogue())
    assert (made["nlu"].columns, made["nlu"].of) == (20, 21)
    assert (made["nlg_9"].columns, made["nlg_9"].of, made["nlg_8"].columns, made["nlg_8"].of) == (8, 9, 7, 8)
    nlu = [results[name]["0"].figure.score for name in catalogue().suites["nlu"].tasks if results.get(name)]
    assert made["nlu"].score == pytest.approx(sum(nlu) / 20)
    assert (made["all_30"].of, made["all_29"].of, made["SuperGLUE"].columns) == (30, 29, 8)
