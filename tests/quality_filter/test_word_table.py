"""The table finds what was put in and nothing else, however its slots collide."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from quality_filter.word_table import LARGEST_WEIGHT, WordTable

# Few distinct low bits, so that most words want the same slots.
CROWDED = st.integers(0, 40).map(lambda n: (n % 3) | (n << 20)) | st.integers(0, 2**32 - 1) | st.just(2**32 - 1)


@given(
    st.dictionaries(CROWDED, st.integers(-LARGEST_WEIGHT, LARGEST_WEIGHT), max_size=60), st.lists(CROWDED, max_size=60)
)
def test_equal_to_a_dictionary(weights, queries):
    hashes = np.array(list(weights), np.uint32)
    table = WordTable(hashes, np.array(list(weights.values()), np.int32))
    asked = [*weights, *queries, 0]
    found, known = table.look_up(np.array(asked, np.uint32))
    assert known.tolist() == [query in weights for query in asked]
    assert found.tolist() == [weights.get(query, 0) for query in asked]
