"""Hashed words and pairs equal a slow, obvious reference of fastText's own rules."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quality_filter.features import hash_vocabulary, hash_words, normalize, pair_buckets, split_words
from tests.demo_text import html_pages, news

SPACES = "[\x00-\x20\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
ODD = st.lists(
    st.sampled_from(
        ["</s>", "</S>", "__label__x", "__LABEL__", "a</s>", "Σ", "ΣΑΣ", "İ", "K", "À", "×", "ß", "É\u0301"]
    )
    | st.sampled_from(
        [" ", "\n", "\u00a0", "\u2009", "\u3000", "\u2028", "\x85", "“", "日本", "😀", "x" * 300, "é" * 200]
    )
    | TEXT,
    max_size=12,
).map("".join)


def reference_words(text: str) -> list[str]:
    words = [word for word in re.split(SPACES, text.lower()) if word]
    return [word for word in words if word != "</s>" and not word.startswith("__label__")] + ["</s>"]


def reference_hash(word: str) -> int:
    state = 2166136261
    for byte in word.encode():
        state = ((state ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 16777619) % 2**32
    return state


def reference_pair(first: int, second: int, buckets: int) -> int:
    def signed(value: int) -> int:
        return value - 2**32 if value >= 2**31 else value

    return (signed(first) * 116049371 + signed(second)) % 2**64 % buckets


def assert_equal_to_reference(texts: list[str]) -> None:
    hashed = hash_words(texts)
    expected = [[reference_hash(word) for word in reference_words(text)] for text in texts]
    assert hashed.bounds.tolist() == [0, *np.cumsum([len(words) for words in expected]).tolist()]
    assert hashed.hashes.tolist() == [value for words in expected for value in words]


@given(st.lists(ODD, max_size=6))
@example(["", "Hello </S> world __LABEL__x", "À×ÞÿĀ \u00a0\u2028"])
def test_words_of_any_batch_equal_the_reference(texts):
    assert_equal_to_reference(texts)


@settings(deadline=None)
@given(st.lists(ODD | st.none(), max_size=6), st.integers(0, 3))
def test_an_arrow_array_has_the_words_of_its_strings(texts, start):
    strings = [text or "" for text in texts[start:]]
    for kind in (pa.string(), pa.large_string()):
        array = pa.array(texts, kind)[start:]
        assert hash_words(array).hashes.tolist() == hash_words(strings).hashes.tolist()
        assert hash_words(array).bounds.tolist() == hash_words(strings).bounds.tolist()


def test_words_of_real_pages_equal_the_reference():
    assert_equal_to_reference(html_pages(15) + news()[:40])


@given(ODD)
def test_strings_and_hashes_of_a_text_agree(text):
    assert split_words(text) == reference_words(text)
    assert hash_vocabulary(split_words(text)).tolist() == hash_words([text]).hashes.tolist()


@given(ODD)
def test_a_text_and_its_normal_form_have_the_same_words(text):
    line = normalize(text)
    assert "\n" not in line
    assert split_words(line) == split_words(text)


def test_pairs_equal_the_reference_across_the_sign():
    hashes = hash_words(["the é 日本 naïve a Ω cat"]).hashes
    assert (hashes >= 2**31).any()
    assert (hashes < 2**31).any()
    for buckets in (1, 1 << 10, 1 << 21):
        expected = [reference_pair(int(a), int(b), buckets) for a, b in itertools.pairwise(hashes)]
        assert pair_buckets(hashes, buckets).tolist() == expected


def test_one_giant_word_among_small_ones():
    assert_equal_to_reference(["é" * 5000 + " b", "c", "d" * 256 + " " + "d" * 255 + " " + "d" * 254])


def test_an_empty_batch_has_no_words():
    assert len(hash_words([]).hashes) == 0
    assert hash_words([]).bounds.tolist() == [0]
