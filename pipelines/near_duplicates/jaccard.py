"""Exact Jaccard similarity of shingle sets, decided in integers, and shingle sets read again from document shards."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.near_duplicates.mixing import Words
from pipelines.near_duplicates.shingles import packed_texts, shingle_batch, text_groups
from pipelines.store.files import StoreError, open_read

COMPARISON = np.dtype([("first", "<u8"), ("second", "<u8"), ("intersection", "<u4"), ("union", "<u4")])
"""A pair of nodes (first < second) with the sizes of intersection and union of their shingle sets."""


def intersection_size(left: Words, right: Words) -> int:
    """Return how many values two sorted sets share."""
    both = np.sort(np.concatenate((left, right)))
    return int(np.count_nonzero(both[1:] == both[:-1]))


def at_least(comparisons: np.ndarray, threshold: Fraction) -> NDArray[np.bool_]:
    """Return which comparisons have intersection / union ≥ threshold, without any rounding."""
    shared, union = (comparisons[name].tolist() for name in ("intersection", "union"))
    return np.fromiter(
        (
            together > 0 and common * threshold.denominator >= together * threshold.numerator
            for common, together in zip(shared, union, strict=True)
        ),
        np.bool_,
        len(comparisons),
    )


def compare(first: int, second: int, left: Words, right: Words) -> tuple[int, int, int, int]:
    """Return the COMPARISON of two nodes by their shingle sets."""
    shared = intersection_size(left, right)
    return min(first, second), max(first, second), shared, len(left) + len(right) - shared


def read_shingle_sets(documents_url: str, rows: NDArray[np.int64], width: int) -> Iterator[tuple[int, Words]]:
    """Yield (row, sorted shingle set) of some rows of a document shard, reading only the row groups that hold them.

    Args:
        documents_url: the shard.
        rows: distinct row numbers, sorted.
        width: words a shingle.

    Raises:
        StoreError: when the shard is damaged or has fewer rows.
    """
    try:
        with open_read(documents_url) as file:
            parquet = pq.ParquetFile(file, page_checksum_verification=True)
            if len(rows) and rows[-1] >= parquet.metadata.num_rows:
                raise StoreError(f"{documents_url}: row {rows[-1]} is missing; delete its stage's folder, build again")
            start = 0
            for group in range(parquet.num_row_groups):
                end = start + parquet.metadata.row_group(group).num_rows
                inside = rows[(rows >= start) & (rows < end)]
                if len(inside):
                    table = parquet.read_row_group(group, ["text"])
                    texts = table.column("text").combine_chunks().take(pa.array(inside - start))
                    yield from zip(inside.tolist(), _shingle_sets(texts, width), strict=True)
                start = end
    except pa.ArrowException as error:
        raise StoreError(
            f"{documents_url}: not a sound Parquet file ({error}); delete its stage's folder and build again"
        ) from error


def _shingle_sets(texts: pa.Array, width: int) -> Iterator[Words]:
    data, offsets = packed_texts(texts)
    for first, end in text_groups(offsets):
        shingles = shingle_batch(data, offsets[first : end + 1], width)
        for text in range(end - first):
            yield shingles.shingle_set(text)
