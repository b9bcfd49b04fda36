"""The collapsed classifier gives fastText's probabilities, in integers that no machine changes."""

from __future__ import annotations

import math
from decimal import Decimal, getcontext

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality_filter.classifier import LOGIT_BITS, LinearClassifier, _boundaries, probability
from quality_filter.collapse import POSITIVE_LABEL
from quality_filter.features import hash_vocabulary, hash_words, normalize, pair_buckets
from quality_filter.word_table import LARGEST_WEIGHT
from tests.demo_text import corpus_pages, html_pages, news, plays


def small_classifier() -> LinearClassifier:
    hashes = hash_vocabulary(["good", "bad", "</s>"])
    return LinearClassifier(hashes, np.array([4000, -3000, 100], np.int32), np.arange(-8, 8, dtype=np.int32), 10)


def fasttext_probabilities(model, texts: list[str]) -> np.ndarray:
    labels, probabilities = model.predict([normalize(text) for text in texts], k=2)
    return np.array([p[names.index(POSITIVE_LABEL)] for names, p in zip(labels, probabilities, strict=True)])


def reference_score(classifier: LinearClassifier, text: str) -> int:
    """Sum feature by feature in Python, then compare probabilities in decimals of 50 digits."""
    weight = dict(zip(classifier.word_hashes.tolist(), classifier.word_weights.tolist(), strict=True))
    hashes = hash_words([text]).hashes
    terms = [weight[value] for value in hashes.tolist() if value in weight]
    terms += classifier.bucket_weights[pair_buckets(hashes, len(classifier.bucket_weights))].tolist()
    logit = (sum(terms) << (LOGIT_BITS - classifier.fraction_bits)) // max(1, len(terms))
    getcontext().prec = 50
    return int(65536 / (1 + (-Decimal(logit) / 2**LOGIT_BITS).exp()))


def test_probabilities_equal_fasttexts_on_real_text(trained):
    texts = news() + html_pages() + [play[:5000] for play in plays()] + ["", "unseen", "good"]
    expected = fasttext_probabilities(trained.fasttext_model, texts)
    scores = trained.classifier.score_batch(texts)
    assert expected.max() > 0.8
    assert expected.min() < 0.2
    assert np.abs([probability(int(s)) for s in scores] - expected).max() < 5e-5  # fastText itself adds 10^-5


def test_decisions_are_fasttexts_on_every_page_of_a_real_corpus(trained):
    texts = corpus_pages()
    expected = fasttext_probabilities(trained.fasttext_model, texts)
    scores = trained.classifier.score_batch(pa.array(texts, pa.large_string()))
    assert np.abs((scores + 0.5) / 65536 - expected).max() < 1e-3
    told = np.abs(expected - 0.5) > 5e-5  # nearer than that, fastText's own rounding decides
    assert ((scores >= 32768) == (expected >= 0.5))[told].all()
    assert told.mean() > 0.99


def test_scores_equal_the_reference_sum(trained):
    texts = news()[:30] + html_pages(10) + ["", "x"]
    expected = [reference_score(trained.classifier, text) for text in texts]
    assert trained.classifier.score_batch(texts).tolist() == expected


@given(st.lists(st.text(st.sampled_from("gobad \n"), max_size=30), max_size=8))
def test_a_text_has_the_same_score_in_any_batch(texts):
    classifier = small_classifier()
    assert classifier.score_batch(texts).tolist() == [int(classifier.score_batch([text])[0]) for text in texts]


def test_batches_larger_than_the_cache_are_scored_in_parts(trained):
    texts = plays() * 3
    scores = trained.classifier.score_batch(texts)
    assert scores.dtype == np.int32
    assert scores.tolist() == trained.classifier.score_batch(plays()).tolist() * 3


def test_scores_of_extreme_weights_stay_in_range():
    hashes = hash_vocabulary(["up", "down"])
    classifier = LinearClassifier(
        hashes, np.array([LARGEST_WEIGHT, -LARGEST_WEIGHT + 1], np.int32), np.zeros(0, np.int32), 0
    )
    assert classifier.score_batch(["up", "down", "up down", "neither"]).tolist() == [65535, 0, 40793, 32768]


def test_boundaries_are_far_from_where_a_float_could_round_the_other_way():
    getcontext().prec = 40
    boundaries = _boundaries()
    for k in range(1, 65536, 211):
        exact = (Decimal(k) / (65536 - k)).ln() * 2**LOGIT_BITS
        assert int(boundaries[k - 1]) == math.ceil(exact)
    steps = np.array([math.log(k / (65536 - k)) * 2**LOGIT_BITS for k in range(1, 65536)])
    distance = np.abs(steps - np.rint(steps))
    assert np.flatnonzero(distance < 1e-8).tolist() == [32767]


def test_explanation_adds_up_to_the_logit(trained):
    text = news()[3]
    parts = trained.classifier.explain(text, limit=10**6)
    logit = sum(part.logit for part in parts)
    assert 65536 / (1 + math.exp(-logit)) == pytest.approx(int(trained.classifier.score_batch([text])[0]), abs=2)
    sizes = [abs(part.logit) for part in parts]
    assert sizes == sorted(sizes, reverse=True)


def test_explanation_names_words_and_pairs():
    parts = {part.feature: part for part in small_classifier().explain("Good good bad")}
    assert parts["good"].occurrences == 2
    assert parts["good"].logit > 0 > parts["bad"].logit
    assert "good bad" in parts


def test_a_file_comes_back_the_same(trained):
    data = trained.classifier.to_bytes()
    again = LinearClassifier.from_bytes(data)
    assert again.to_bytes() == data
    assert again.training == trained.classifier.training
    assert again.score_batch(news()[:20]).tolist() == trained.classifier.score_batch(news()[:20]).tolist()


def test_a_file_of_two_million_buckets_is_small():
    words = np.arange(300_000, dtype=np.uint32)
    classifier = LinearClassifier(words, words.astype(np.int32), np.zeros(1 << 21, np.int32), 10)
    assert len(classifier.to_bytes()) < 16 * 2**20


@pytest.mark.parametrize("position", [0, 9, 20, -1])
def test_a_damaged_file_is_refused_by_name(trained, position):
    data = bytearray(trained.classifier.to_bytes())
    data[position] ^= 1
    with pytest.raises(ValueError, match=r"fold-2\.bin: "):
        LinearClassifier.from_bytes(bytes(data), "fold-2.bin")


def test_a_truncated_file_is_refused(trained):
    data = trained.classifier.to_bytes()
    for length in (0, 5, 12, 100, len(data) - 1):
        with pytest.raises(ValueError, match="classifier: "):
            LinearClassifier.from_bytes(data[:length])
