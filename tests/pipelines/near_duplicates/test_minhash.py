"""Signatures against datasketch itself."""

from __future__ import annotations

import numpy as np
import pytest
from datasketch import MinHash

from benchmarks.near_duplicate_corpus import make_corpus
from pipelines.near_duplicates import minhash
from pipelines.near_duplicates.minhash import short_hashes, signatures
from pipelines.near_duplicates.shingles import shingle_batch
from tests.pipelines.near_duplicates.test_words_and_shingles import pack


@pytest.mark.parametrize("permutations", [1, 120, 256])
def test_signatures_are_those_of_datasketch_bit_for_bit(permutations: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minhash, "_BLOCK_SHINGLES", 1000)  # so that texts of both sides of a block's end are met
    texts = [*make_corpus(12, seed=3).texts.values(), "too short", "", "a b a b a b a b a b"]
    shingles = shingle_batch(*pack(texts), 5)
    found = signatures(shingles, permutations)
    hashes = short_hashes(shingles)
    for text, (start, end) in enumerate(zip(shingles.offsets[:-1], shingles.offsets[1:], strict=True)):
        reference = MinHash(num_perm=permutations, hashfunc=int)
        reference.update_batch(hashes[start:end].tolist())
        assert found[text].dtype == reference.hashvalues.dtype
        assert found[text].tolist() == reference.hashvalues.tolist()


def test_agreement_of_signatures_estimates_jaccard() -> None:
    corpus = make_corpus(40, seed=5, copied=1.0)
    shingles = shingle_batch(*pack(list(corpus.texts.values())), 5)
    by_name = dict(zip(corpus.texts, signatures(shingles, 512), strict=True))
    errors = [(by_name[p.base] == by_name[p.copy]).mean() - p.similarity for p in corpus.pairs]
    assert abs(np.mean(errors)) < 0.02
    assert max(map(abs, errors)) < 0.12
