"""Band keys, and pairs from buckets against brute force."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.near_duplicates.lsh import BAND_ENTRY, band_keys, bucket_pairs

Entry = tuple[int, int, int]


def packed(entries: list[Entry]) -> np.ndarray:
    return np.array(entries, BAND_ENTRY)


def contents_by_bucket(entries: list[Entry]) -> dict[int, dict[int, int]]:
    buckets: dict[int, dict[int, int]] = defaultdict(dict)
    for key, content, node in entries:
        buckets[key][content] = min(node, buckets[key].get(content, node))
    return buckets


def test_texts_share_a_bucket_exactly_where_a_whole_band_agrees() -> None:
    values = np.arange(24, dtype=np.uint32).reshape(2, 12) % 12
    values[1, 5] = 99
    keys = band_keys(values, bands=4, rows=3)
    assert (keys[0] == keys[1]).tolist() == [True, False, True, True]


def test_equal_values_in_different_bands_are_different_buckets() -> None:
    keys = band_keys(np.full((1, 12), 7, np.uint32), bands=4, rows=3)
    assert len(np.unique(keys)) == 4


entries = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), max_size=60).map(
    lambda drawn: [(key, content, 100 * content + place) for place, (key, content) in enumerate(drawn)]
)


@settings(max_examples=200, deadline=None)
@given(entries)
def test_small_buckets_give_all_pairs_of_different_contents(drawn: list[Entry]) -> None:
    pairs, left_out = bucket_pairs(packed(drawn), limit=32, neighbors=8)
    expected = {
        tuple(sorted(pair))
        for bucket in contents_by_bucket(drawn).values()
        for pair in combinations(bucket.values(), 2)
    }
    assert [tuple(pair) for pair in pairs.tolist()] == sorted(expected)
    assert left_out == 0


@settings(max_examples=50, deadline=None)
@given(st.integers(9, 60), st.integers(0, 2**63), st.randoms(use_true_random=False))
def test_large_buckets_give_a_bounded_connected_ring_and_count_the_rest(size: int, key: int, shuffler: object) -> None:
    drawn = [(key, 1000 + number, 5000 - number) for number in range(size)]
    pairs, left_out = bucket_pairs(packed(drawn), limit=8, neighbors=3)
    assert len(pairs) == 3 * size
    assert left_out == size * (size - 1) // 2 - len(pairs)
    degrees = np.unique(np.concatenate((pairs["first"], pairs["second"])), return_counts=True)[1]
    assert degrees.tolist() == [6] * size
    shuffler.shuffle(drawn)  # type: ignore[attr-defined]
    again, _ = bucket_pairs(packed(drawn), limit=8, neighbors=3)
    assert np.array_equal(again, pairs)


def test_the_rings_of_two_buckets_differ() -> None:
    rings = [set(bucket_pairs(packed([(key, 1000 + n, n) for n in range(50)]), 8, 3)[0].tolist()) for key in (1, 2)]
    assert len(rings[0] & rings[1]) < 75
