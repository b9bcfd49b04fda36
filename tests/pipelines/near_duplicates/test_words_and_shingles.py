"""Words and shingles of packed texts against the slow, obvious definition on Python strings."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.near_duplicates import words as words_module
from pipelines.near_duplicates.jaccard import intersection_size
from pipelines.near_duplicates.shingles import ShingleBatch, packed_texts, shingle_batch, text_groups
from pipelines.near_duplicates.words import PIECE_BYTES, word_hashes

ALONE = "\u0e01-\u0e3a\u0e40-\u0e4e\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff"
ALPHABET = "aBc dé ÉÖß_9-.,’“\n\tжЖ語漢字かカ𝒜😀ไทยe\u0301"


def pack(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    encoded = [text.encode() for text in texts]
    return np.frombuffer(b"".join(encoded), np.uint8), np.cumsum([0, *map(len, encoded)])


def reference_words(text: str) -> list[str]:
    """Runs of word characters and marks; characters of unspaced scripts each by itself."""
    words, run = [], ""
    for character in text:
        in_word = character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"
        alone = in_word and re.match(f"[{ALONE}]", character)
        if run and (alone or not in_word):
            words.append(run)
            run = ""
        if alone:
            words.append(character)
        elif in_word:
            run += character.lower() if len(character.lower()) == 1 else character
    return [*words, run] if run else words


def shingles_of(texts: list[str], width: int = 5) -> ShingleBatch:
    return shingle_batch(*pack(texts), width)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(ALPHABET, max_size=30), min_size=1, max_size=8))
def test_equal_words_and_only_these_have_equal_hashes(texts: list[str]) -> None:
    hashes, offsets = word_hashes(*pack(texts))
    expected = [reference_words(text) for text in texts]
    assert np.diff(offsets).tolist() == [len(words) for words in expected]
    seen: dict[str, int] = {}
    for word, value in zip((word for words in expected for word in words), hashes.tolist(), strict=True):
        assert seen.setdefault(word, value) == value
    assert len(set(seen.values())) == len(seen)


def test_words_are_those_of_the_regular_expression_where_scripts_have_spaces() -> None:
    text = "The “quick” brown_fox — jumps, ÜBER 2 naïve dogs’ tails… ok"
    hashes, _ = word_hashes(*pack([text]))
    again, _ = word_hashes(*pack([" ".join(re.findall(r"\w+", text.lower()))]))
    assert hashes.tolist() == again.tolist()


def test_a_document_has_the_same_words_alone_and_among_others() -> None:
    long = "lorem ipsum " * (PIECE_BYTES // 6) + "x" * (PIECE_BYTES + 10) + " end"
    texts = ["short one", long, "", "漢" * (PIECE_BYTES // 2), "last words"]
    hashes, offsets = word_hashes(*pack(texts))
    for text, start, end in zip(texts, offsets[:-1], offsets[1:], strict=True):
        assert word_hashes(*pack([text]))[0].tolist() == hashes[start:end].tolist()


def test_long_documents_are_cut_only_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(f"word{number}é" for number in range(500))
    whole, _ = word_hashes(*pack([text]))
    monkeypatch.setattr(words_module, "PIECE_BYTES", 100)
    in_pieces, offsets = word_hashes(*pack(["before", text, "after"]))
    assert in_pieces[1:-1].tolist() == whole.tolist()
    assert offsets.tolist() == [0, 1, 501, 502]


def test_shingles_do_not_run_over_the_end_of_a_text() -> None:
    texts = ["a b c d e f", "", "one two three four", "漢字仮名交", "a b c d e"]
    batch = shingles_of(texts)
    assert batch.counts.tolist() == [2, 0, 0, 1, 1]
    assert batch.hashes[0] == batch.hashes[-1]


def test_width_is_a_setting() -> None:
    assert shingles_of(["a b c d"], width=2).counts.tolist() == [3]
    assert shingles_of(["a b c d"], width=1).counts.tolist() == [4]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text("ab é漢 ", max_size=40), max_size=20), st.integers(1, 120))
def test_groups_cover_all_texts_and_give_the_shingles_of_the_whole(texts: list[str], limit: int) -> None:
    data, offsets = packed_texts(pa.array(["another", *texts], pa.large_string())[1:])
    groups = list(text_groups(offsets, limit))
    assert [place for first, end in groups for place in range(first, end)] == list(range(len(texts)))
    assert all(end == first + 1 or offsets[end] - offsets[first] <= limit for first, end in groups)
    whole = shingles_of(texts, width=2) if texts else shingle_batch(data, offsets, 2)
    parts = [shingle_batch(data, offsets[first : end + 1], 2) for first, end in groups]
    assert [value for part in parts for value in part.hashes.tolist()] == whole.hashes.tolist()
    assert [count for part in parts for count in part.counts.tolist()] == whole.counts.tolist()


words_of_few = st.lists(st.sampled_from("abcd"), max_size=40).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(words_of_few, words_of_few)
def test_jaccard_is_that_of_sets_of_strings(left: str, right: str) -> None:
    sets = [{tuple(w[i : i + 3]) for i in range(len(w) - 2)} for w in (left.split(), right.split())]
    batch = shingles_of([left, right], width=3)
    hashed = [batch.shingle_set(0), batch.shingle_set(1)]
    assert [len(values) for values in hashed] == [len(values) for values in sets]
    assert intersection_size(*hashed) == len(sets[0] & sets[1])
    assert all((np.diff(values.astype(object)) > 0).all() for values in hashed)
