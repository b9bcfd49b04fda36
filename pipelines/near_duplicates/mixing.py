"""Mixing of 64-bit integers: the finalizer of MurmurHash3, a bijection whose every output bit depends on every input
bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]


def mix64(values: Words) -> Words:
    """Return `values` (uint64, any shape) mixed; arithmetic is modulo 2^64."""
    mixed = values ^ (values >> np.uint64(33))
    mixed *= np.uint64(0xFF51AFD7ED558CCD)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xC4CEB9FE1A85EC53)
    mixed ^= mixed >> np.uint64(33)
    return mixed


def partition_of(keys: Words, partitions: int) -> NDArray[np.int64]:
    """Return the partition, in [0, partitions), of each key."""
    return ((mix64(keys) >> np.uint64(16)) % np.uint64(partitions)).astype(np.int64)
