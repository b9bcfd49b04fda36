"""Shingles: every run of `width` words of a text, as one 64-bit hash (Broder, "On the resemblance and containment of
documents", 1997).

In: packed texts. Out: a ShingleBatch. A text of fewer than `width` words has no shingles and is never a near-duplicate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.near_duplicates.mixing import Words, mix64
from pipelines.near_duplicates.words import Offsets, word_hashes

_BASE = 0xD6E8FEB86659FD93
GROUP_BYTES = 1 << 19
"""Text handled at a time: enough to spread numpy's cost of a call over many documents, little enough for the cache."""


@dataclass(frozen=True)
class ShingleBatch:
    """Shingle hashes of several texts, in order, with repetitions.

    Attributes:
        hashes: (shingles,) uint64.
        offsets: (texts + 1,) int64, the first shingle of each text and the end of the last.
    """

    hashes: Words
    offsets: Offsets

    @property
    def counts(self) -> Offsets:
        """Number of shingles of each text."""
        return np.diff(self.offsets)

    def shingle_set(self, text: int) -> Words:
        """Return the distinct shingles of one text, sorted."""
        shingles = np.sort(self.hashes[self.offsets[text] : self.offsets[text + 1]])
        return shingles[np.diff(shingles, prepend=~shingles[:1]) != 0]


def shingle_batch(data: NDArray[np.uint8], offsets: Offsets, width: int) -> ShingleBatch:
    """Return the shingles of packed texts (bytes and offsets as for `word_hashes`)."""
    words, word_offsets = word_hashes(data, offsets)
    counts = np.maximum(np.diff(word_offsets) - width + 1, 0)
    shingle_offsets = np.concatenate(([0], np.cumsum(counts)))
    span = max(len(words) - width + 1, 0)
    sums = np.zeros(span, np.uint64)
    for place in range(width):
        sums += words[place : place + span] * np.uint64(pow(_BASE, place, 1 << 64))
    # Shingle i of all texts begins at word i plus the words that begin no shingle in the texts before.
    starts = np.arange(shingle_offsets[-1]) + np.repeat(word_offsets[:-1] - shingle_offsets[:-1], counts)
    return ShingleBatch(mix64(sums[starts]), shingle_offsets)


def packed_texts(texts: pa.Array) -> tuple[NDArray[np.uint8], Offsets]:
    """Return bytes and offsets of an Arrow array of large strings without nulls, without copying the text."""
    _, offset_buffer, data_buffer = texts.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(data_buffer or b"", np.uint8), offsets


def text_groups(offsets: Offsets, limit: int = GROUP_BYTES) -> Iterator[tuple[int, int]]:
    """Yield (first, end) of runs of texts of at most `limit` bytes together, or of one longer text."""
    positions = offsets.tolist()
    first, texts = 0, len(positions) - 1
    while first < texts:
        end = first + 1
        while end < texts and positions[end + 1] - positions[first] <= limit:
            end += 1
        yield first, end
        first = end
