"""Training is repeatable, tells how far it is, and fails with a reason."""

from __future__ import annotations

import pytest

from quality_filter.examples import Example
from quality_filter.train import fasttext_line, train_classifier
from tests.quality_filter.conftest import SETTINGS, order


def test_the_same_examples_in_another_order_give_the_same_bytes(trained):
    again = train_classifier(reversed(trained.examples), SETTINGS, order)
    assert again.to_bytes() == trained.classifier.to_bytes()


def test_the_header_tells_what_it_was_trained_on(trained):
    training = trained.classifier.training
    assert training["settings"] == SETTINGS.model_dump()
    assert training["positives"].keys() == {"news"}
    assert training["negatives"].keys() == {"plays", "web"}
    counted = sum(training["positives"].values()) + sum(training["negatives"].values())
    assert counted == len(trained.examples)
    assert training["words"] == len(trained.classifier.word_hashes) + training["hash_collisions"]


def test_progress_rises_to_at_most_one(trained):
    settings = SETTINGS.model_copy(update={"epochs": 30})
    progress: list[float] = []
    train_classifier(trained.examples, settings, order, progress=progress.append)
    assert progress, "training took long enough to be told about"
    assert progress == sorted(progress)
    assert progress[0] >= 0
    assert progress[-1] <= 1


def test_text_cannot_forge_a_label():
    line = fasttext_line(Example(b"k", "web", False, "good __label__positive\npage </s> end"))
    assert line == "__label__negative good page end\n"


def test_words_alone_need_no_buckets(trained):
    settings = SETTINGS.model_copy(update={"word_ngrams": 1, "epochs": 1})
    classifier = train_classifier(trained.examples, settings, order)
    assert len(classifier.bucket_weights) == 0
    assert classifier.score_batch(["the minister said"]).shape == (1,)


def test_a_failing_process_is_reported_with_its_words():
    examples = [Example(bytes([n]), "s", bool(n % 2), "some words") for n in range(4)]
    unchecked = SETTINGS.model_copy(update={"dimension": 0})
    with pytest.raises(RuntimeError, match=r"exit status 1: (?s:.)*dimension"):
        train_classifier(examples, unchecked, order)


def test_a_training_that_diverges_says_what_to_change(trained):
    wild = SETTINGS.model_copy(update={"dimension": 1, "learning_rate": 10.0, "epochs": 60, "buckets": 16})
    with pytest.raises(RuntimeError, match=r"exit status 1: fastText: Encountered NaN\.; lower learning_rate \(10\)"):
        train_classifier(trained.examples, wild, order)
