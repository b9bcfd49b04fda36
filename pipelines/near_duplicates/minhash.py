"""MinHash signatures, bit for bit those of datasketch 2.0 (scheme `affine32`, seed 1), for packed batches.

The 32-bit hash of a shingle is the upper half of its 64-bit hash. Permutation k maps a mixed hash h to
a_k · h + b_k modulo 2^32; value k of a text's signature is the least over its shingles.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipelines.near_duplicates.shingles import ShingleBatch

Signatures = NDArray[np.uint32]

_SEED = 1
_BLOCK_SHINGLES = 1 << 15


@cache
def permutations(count: int) -> tuple[Signatures, Signatures]:
    """Return the factors and summands (count,) of datasketch's permutations.

    Drawn as datasketch draws them: numpy keeps the stream of `RandomState` the same for ever (NEP 19). Importing
    datasketch itself would cost every worker half a second and, for scipy, 50 MB.
    """
    stream = np.random.RandomState(_SEED)
    factors = stream.randint(0, 1 << 31, count, np.uint32) * np.uint32(2) + np.uint32(1)
    return factors, stream.randint(0, 1 << 32, count, np.uint32)


def mix32(values: Signatures) -> Signatures:
    """Return 32-bit values mixed by MurmurHash3's finalizer, as datasketch does before permuting."""
    mixed = values ^ (values >> np.uint32(16))
    mixed *= np.uint32(0x85EBCA6B)
    mixed ^= mixed >> np.uint32(13)
    mixed *= np.uint32(0xC2B2AE35)
    mixed ^= mixed >> np.uint32(16)
    return mixed


def short_hashes(shingles: ShingleBatch) -> Signatures:
    """Return the 32-bit hash of each shingle."""
    return (shingles.hashes >> np.uint64(32)).astype(np.uint32)


def signatures(shingles: ShingleBatch, count: int) -> Signatures:
    """Return the (texts, count) signatures; a text without shingles has 2^32 - 1 everywhere."""
    mixed = mix32(short_hashes(shingles))
    counts = shingles.counts
    result = np.full((len(counts), count), 0xFFFFFFFF, np.uint32)
    filled = np.flatnonzero(counts)
    starts = shingles.offsets[:-1][filled]
    ends = shingles.offsets[1:][filled]
    first = 0
    while first < len(filled):
        end = max(int(np.searchsorted(ends, starts[first] + _BLOCK_SHINGLES, side="right")), first + 1)
        block = mixed[starts[first] : ends[end - 1]]
        result[filled[first:end]] = _least_values(block, starts[first:end] - starts[first], count).T
        first = end
    return result


def _least_values(hashes: Signatures, starts: NDArray[np.int64], count: int) -> Signatures:
    """Return (count, texts): for each permutation, the least value of each text's run of `hashes`."""
    factors, summands = permutations(count)
    least = np.empty((count, len(starts)), np.uint32)
    permuted = np.empty(len(hashes), np.uint32)
    for row in range(count):
        np.multiply(hashes, factors[row], out=permuted)
        np.add(permuted, summands[row], out=permuted)
        np.minimum.reduceat(permuted, starts, out=least[row])
    return least
