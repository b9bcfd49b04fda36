"""What goes into study.json beside the figures that other tests check."""

from types import SimpleNamespace

import numpy as np
import pytest

from trainer.ablation.summary import shared_documents


def scored(documents):
    """What a run gave the documents of one source: id to (bits, bytes)."""
    ids = [bytes([number]) * 16 for number in documents]
    bits, lengths = zip(*documents.values(), strict=True)
    return {"news": SimpleNamespace(ids=ids, bits=np.array(bits, float), bytes=np.array(lengths))}


def test_arms_are_scored_on_the_documents_that_all_of_them_held_out_in_one_order():
    a = scored({3: (30, 10), 1: (10, 10), 2: (20, 10)})
    b = scored({4: (1, 1), 2: (5, 10), 3: (7, 10)})
    found = shared_documents({"a": [a], "b": [b]})
    assert found["a"][0]["news"].bits.tolist() == [20, 30]
    assert found["b"][0]["news"].bits.tolist() == [5, 7]
    assert found["a"][0]["news"].bits_per_byte == pytest.approx(50 / 20)


def test_a_source_that_one_arm_lacks_is_not_compared():
    a = scored({1: (1, 1)}) | {"web": scored({1: (1, 1)})["news"]}
    assert list(shared_documents({"a": [a], "b": [scored({1: (2, 1)})]})["a"][0]) == ["news"]


def test_documents_that_share_nothing_leave_no_source():
    assert shared_documents({"a": [scored({1: (1, 1)})], "b": [scored({2: (1, 1)})]})["a"][0] == {}
