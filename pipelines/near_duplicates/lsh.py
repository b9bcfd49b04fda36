"""Locality-sensitive hashing: signatures to band keys, and the members of a bucket to candidate pairs.

In a bucket of at most `limit` different contents all pairs are candidates. In a larger one its members stand in a ring
in the order of a hash of bucket and content, and each is paired with the `neighbors` that follow; the rings of the
bands differ, so that members of one cluster stay connected. The pairs left out are counted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.near_duplicates.mixing import Words, mix64

BAND_ENTRY = np.dtype([("key", "<u8"), ("content", "<u8"), ("node", "<u8")])
"""A document in a bucket: band key, first 8 bytes of the content hash (copies collapse by it), locator.

Should two contents of one bucket agree in these 8 bytes, a candidate is missed; nothing is removed wrongly by it.
"""

PAIR = np.dtype([("first", "<u8"), ("second", "<u8")])
"""A candidate pair of nodes, first < second."""


def band_keys(signatures: NDArray[np.uint32], bands: int, rows: int) -> Words:
    """Return the (texts, bands) uint64 keys of the buckets that each text falls into."""
    values = signatures[:, : bands * rows].reshape(-1, bands, rows)
    factors = mix64(np.arange(1, rows + 1, dtype=np.uint64)) | np.uint64(1)
    keys = np.zeros(values.shape[:2], np.uint64)
    for row in range(rows):
        keys += values[:, :, row] * factors[row]
    keys += mix64(np.arange(1, bands + 1, dtype=np.uint64) << np.uint64(32))
    return mix64(keys)


def run_starts(*columns: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return, for sorted columns, where a value differs from the one before."""
    starts = np.ones(len(columns[0]), np.bool_)
    starts[1:] = False
    for column in columns:
        starts[1:] |= column[1:] != column[:-1]
    return starts


def bucket_pairs(entries: np.ndarray, limit: int, neighbors: int) -> tuple[np.ndarray, int]:
    """Return the candidate pairs (dtype PAIR, sorted, distinct) of bucket entries, and how many pairs were left out.

    Args:
        entries: dtype BAND_ENTRY, in any order; all the entries of a bucket must be here.
        limit: members up to which all pairs are taken.
        neighbors: following members that each is paired with in a larger bucket; at most limit / 2.
    """
    members = _distinct_contents(_crowded(entries))
    if not len(members):
        return np.empty(0, PAIR), 0
    ring = mix64(members["content"] ^ mix64(members["key"]))
    members = members[np.lexsort((members["content"], ring, members["key"]))]
    starts = np.flatnonzero(run_starts(members["key"]))
    sizes = np.diff(np.append(starts, len(members)))
    small, large = sizes <= limit, sizes > limit
    nodes = members["node"]
    pairs = [_all_pairs(nodes, starts[small], sizes[small]), _ring_pairs(nodes, starts[large], sizes[large], neighbors)]
    left_out = sum(size * (size - 1) // 2 - size * neighbors for size in sizes[large].tolist())
    return distinct_pairs(*np.concatenate(pairs).T), left_out


def distinct_pairs(left: Words, right: Words) -> np.ndarray:
    """Return the pairs (dtype PAIR) of two columns of nodes, ordered within, sorted and each once."""
    pairs = np.empty(len(left), PAIR)
    pairs["first"], pairs["second"] = np.minimum(left, right), np.maximum(left, right)
    pairs = pairs[np.lexsort((pairs["second"], pairs["first"]))]
    return pairs[run_starts(pairs["first"], pairs["second"])] if len(pairs) else pairs


def _crowded(entries: np.ndarray) -> np.ndarray:
    """Return the entries whose key occurs more than once; most do not, so this comes before any sorting of records."""
    order = np.argsort(entries["key"])
    keys = entries["key"][order]
    same = keys[1:] == keys[:-1]
    shared = np.zeros(len(keys), np.bool_)
    shared[1:] |= same
    shared[:-1] |= same
    return entries[order[shared]]


def _distinct_contents(entries: np.ndarray) -> np.ndarray:
    """Return one entry for each content of a bucket: that of the least node, which is the same in all buckets."""
    entries = entries[np.lexsort((entries["node"], entries["content"], entries["key"]))]
    return entries[run_starts(entries["key"], entries["content"])] if len(entries) else entries


def _all_pairs(nodes: Words, starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> Words:
    """Return (pairs, 2): every two nodes of each run."""
    pairs = [np.empty((0, 2), np.uint64)]
    for step in range(1, int(sizes.max(initial=1))):
        lengths = np.maximum(sizes - step, 0)
        left = np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
        pairs.append(np.stack((nodes[left], nodes[left + step]), axis=1))
    return np.concatenate(pairs)


def _ring_pairs(nodes: Words, starts: NDArray[np.int64], sizes: NDArray[np.int64], neighbors: int) -> Words:
    """Return (pairs, 2): every node of each run with those that follow it around the ring."""
    base, size = np.repeat(starts, sizes), np.repeat(sizes, sizes)
    place = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    left = np.tile(nodes[base + place], neighbors)
    right = [nodes[base + (place + step) % size] for step in range(1, neighbors + 1)]
    return np.stack((left, np.concatenate(right)), axis=1)
