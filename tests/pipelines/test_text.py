"""Normalization follows docs/formats.md, "Documents", column `text`, for any string."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text import normalize_text, normalize_title

# Every string that Python can hold, lone surrogates included, with what the rules are about made frequent.
ANY_TEXT = st.text(
    st.characters(codec=None)
    | st.sampled_from("\r\n\n\n \t\v\f\x00\x1c\x7f\x85\xa0\u2028\u2029\u3000\ud800\udfffe\u0301\u0323A\u030aﬁ한ᄒ")
)


@given(ANY_TEXT)
def test_result_follows_every_rule_of_the_format(text):
    result = normalize_text(text)
    assert unicodedata.is_normalized("NFC", result)
    assert not [c for c in result if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"]
    assert not any(line != line.rstrip() for line in result.split("\n"))
    assert "\n\n\n" not in result
    assert result == result.strip()
    result.encode("utf-8")


@given(ANY_TEXT)
def test_normalizing_twice_changes_nothing(text):
    once = normalize_text(text)
    assert normalize_text(once) == once


@given(st.text(st.characters(categories=["L", "N", "P"]), min_size=1))
def test_letters_digits_and_punctuation_are_kept(text):
    assert normalize_text(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\r\nb\rc\x0cd\u2028e\x85f", "a\nb\nc\nd\ne\nf"),
        ("one  \t\n\n \n\n\ntwo", "one\n\ntwo"),
        ("  \n x\ty \n", "x\ty"),
        ("e\x00\u0301", "é"),
        ("broken \ud83d pair", "broken  pair"),
        ("\x00 \u3000\n", ""),
    ],
)
def test_examples(text, expected):
    assert normalize_text(text) == expected


def test_title_stands_on_one_line_and_is_none_when_empty():
    assert normalize_title(" A\r\n  long\ttitle ") == "A long title"
    assert normalize_title(" \n") is None
    assert normalize_title(None) is None
