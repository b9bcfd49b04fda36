"""What is cut out of a document: no n-gram is left, no word is cut, nothing else goes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.contamination.cuts import text_without
from pipelines.contamination.evaluation_sets import Example
from pipelines.contamination.matching import NgramSet
from pipelines.contamination.ngrams import NgramWriter
from pipelines.contamination.removal import Document, spans_to_cut
from pipelines.contamination.settings import DecontaminateSettings
from pipelines.contamination.words import words_of
from tests.pipelines.contamination.naive import naive_matches, naive_words

EXAMPLES = ["a b c d", "é 語 f g h", "x x x x"]
N = 4
WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "é", "語", "f", "g", "h", "x", "other", "words"]), max_size=60)


@pytest.fixture(scope="module")
def ngrams(tmp_path_factory):
    url = str(tmp_path_factory.mktemp("set"))
    NgramWriter(url, N).write({"task": [Example("f", i, text) for i, text in enumerate(EXAMPLES)]})
    return NgramSet(url)


def cut(ngrams, text, **changes):
    """(spans, reason, what is left) with no window and no least length, unless `changes` say otherwise."""
    options = {"remove": "spans", "window_characters": 0, "piece_characters": 1, "max_pieces": 1000} | changes
    spans, reason = spans_to_cut(Document.of(text, words_of(text), 0), ngrams, DecontaminateSettings(**options))
    return spans, reason, text_without(text, spans)


@settings(max_examples=150, deadline=None)
@given(WORDS, st.integers(0, 12), st.integers(1, 15))
def test_nothing_is_found_in_what_is_left_and_every_word_is_whole(ngrams, words, window, least):
    text = " ".join(words)
    spans, reason, left = cut(ngrams, text, window_characters=window, piece_characters=least)
    assert naive_matches(left, EXAMPLES, N) == []
    assert all(start < end for start, end in spans)
    assert all(end < start for (_, end), (start, _) in pairwise(spans))
    inside = [w for start, end in spans for w in naive_words(text[start:end])]
    assert sorted(inside + naive_words(left)) == sorted(naive_words(text))
    assert (reason == "contaminated_short") == (not left and bool(spans))
    if not naive_matches(text, EXAMPLES, N):
        assert (spans, left) == ([], text)


def test_the_match_goes_and_the_rest_is_joined_by_an_empty_line(ngrams):
    spans, reason, left = cut(ngrams, "One two. A, b; c -- d! Three four.")
    assert (spans, reason) == ([(9, 21)], None)
    assert left == "One two.\n\n! Three four."


def test_the_window_goes_too_and_ends_at_words(ngrams):
    text = "beginning middle a b c d middle ending"
    spans, _, left = cut(ngrams, text, window_characters=5)
    assert spans == [(10, 31)]
    assert left == "beginning\n\nending"


def test_a_match_over_a_joint_goes_too(ngrams):
    spans, _, left = cut(ngrams, "one a b x x x x c d two")
    assert (spans, left) == ([(4, 19)], "one\n\ntwo")


def test_pieces_that_are_too_short_go(ngrams):
    _, reason, left = cut(ngrams, "short a b c d this piece is long enough", piece_characters=10)
    assert (reason, left) == (None, "this piece is long enough")


def test_a_document_with_nothing_left_or_too_many_pieces_goes_whole(ngrams):
    assert cut(ngrams, "short a b c d short", piece_characters=10)[1] == "contaminated_short"
    text = " a b c d ".join(["piece"] * 4)
    assert cut(ngrams, text, max_pieces=3)[1] == "contaminated_pieces"
    assert cut(ngrams, text, max_pieces=4)[1] is None
