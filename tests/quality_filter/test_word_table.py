"""The table finds what was put in and nothing else, however its slots collide."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from quality_filter.features import hash_vocabulary, hash_words
from quality_filter.word_bytes import encoded_texts, find_words
from quality_filter.word_table import LARGEST_WEIGHT, WordTable
from tests.demo_text import html_pages, news

# Few distinct low bits, so that most words want the same slots.
CROWDED = st.integers(0, 40).map(lambda n: (n % 3) | (n << 20)) | st.integers(0, 2**32 - 1) | st.just(2**32 - 1)


@given(
    st.dictionaries(CROWDED, st.integers(-LARGEST_WEIGHT, LARGEST_WEIGHT), max_size=60), st.lists(CROWDED, max_size=60)
)
def test_equal_to_a_dictionary(weights, queries):
    hashes = np.array(list(weights), np.uint32)
    table = WordTable(hashes, np.array(list(weights.values()), np.int32))
    asked = [*weights, *queries, 0]
    found = table.look_up(np.array(asked, np.uint32))
    assert found.hashes.tolist() == asked
    assert found.known.tolist() == [query in weights for query in asked]
    assert found.weights.tolist() == [weights.get(query, 0) for query in asked]


def test_words_met_before_and_long_ones_are_found_as_by_their_hashes():
    vocabulary = ["the", "a", "government", "eightlet", "ninelette", "naïve", "</s>"]
    table = WordTable(hash_vocabulary(vocabulary), np.arange(1, 8, dtype=np.int32))
    batches = [["the eightletters a eightlet"], ["eightlet ninelette a the"], html_pages(8), news(), ["naïve the", ""]]
    for texts in batches * 2:
        found = table.look_up_words(find_words(encoded_texts(texts)))
        expected = table.look_up(hash_words(texts).hashes)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.tolist() == theirs.tolist()


def test_a_memo_with_few_slots_forgets_and_never_mistakes(monkeypatch):
    monkeypatch.setattr("quality_filter.word_table._MEMO_BITS", 2)
    table = WordTable(hash_vocabulary(["the", "minister"]), np.array([5, -7], np.int32))
    for texts in (news()[:50], html_pages(5), news()[:50]):
        found = table.look_up_words(find_words(encoded_texts(texts)))
        assert found.hashes.tolist() == hash_words(texts).hashes.tolist()
        assert found.weights.tolist() == table.look_up(found.hashes).weights.tolist()
