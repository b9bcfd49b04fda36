"""Documents in, fixed-length training sequences out (docs/formats.md, "Sequence record").

S sequence length. A document's token stream is the document start and its tokens. The streams are joined in the order
given; sequence i holds stream positions i·S … i·S + S, so the last token of one is the first of the next and every
token but the very first is a target exactly once. Only the last sequence is padded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

BLOCK_SEQUENCES = 256


class PackedSequence(NamedTuple):
    """One training sequence of S + 1 tokens.

    Attributes:
        tokens: (S + 1,) token ids in the dtype of the documents' tokens, padded after the real ones.
        segment_bounds: (segments + 1,) uint32, first token of each segment, then the number of real tokens.
        document_ids: the id of each segment's document.
        document_offsets: (segments,) uint32, where in the document's stream each segment begins (0: its start).
    """

    tokens: np.ndarray
    segment_bounds: np.ndarray
    document_ids: list[bytes]
    document_offsets: np.ndarray


def pack(
    documents: Iterable[tuple[bytes, np.ndarray]],
    sequence_length: int,
    document_start_id: int,
    padding_id: int,
) -> Iterator[PackedSequence]:
    """Join documents (id, token ids) and cut them into sequences; holds a few hundred sequences at a time.

    Raises:
        ValueError: for a document without tokens, which would be a segment that nothing can be learned from.
    """
    _check_length(sequence_length)
    ids: list[bytes] = []
    starts: list[int] = []  # where each document begins in the joined stream of this block; < 0: before it
    streams: list[np.ndarray] = []
    start, length = np.empty(0), 0
    for identifier, tokens in documents:
        if len(tokens) == 0:
            raise ValueError(f"document {identifier.hex()} has no tokens; drop empty documents before packing")
        if start.dtype != tokens.dtype:
            start = np.array([document_start_id], tokens.dtype)
        ids.append(identifier)
        starts.append(length)
        streams += (start, tokens)
        length += 1 + len(tokens)
        if length > BLOCK_SEQUENCES * sequence_length:
            block = np.concatenate(streams)
            whole = (length - 1) // sequence_length
            yield from _cut(block, whole, ids, np.array(starts, np.int64), sequence_length)
            consumed = whole * sequence_length
            first = int(np.searchsorted(starts, consumed, side="right")) - 1
            ids, starts = ids[first:], [start - consumed for start in starts[first:]]
            streams, length = [block[consumed:]], length - consumed
    if streams:
        yield from _cut_last(np.concatenate(streams), ids, starts, sequence_length, padding_id)


def cut_document(
    identifier: bytes, tokens: np.ndarray, sequence_length: int, document_start_id: int, padding_id: int
) -> list[PackedSequence]:
    """Cut one held-out document into its own sequences of one segment each; the last one is padded."""
    return list(pack([(identifier, tokens)], sequence_length, document_start_id, padding_id))


def _check_length(sequence_length: int) -> None:
    if sequence_length < 1:
        raise ValueError(f"sequence_length = {sequence_length} leaves nothing to predict; use 1 or more")


def _cut_last(
    block: np.ndarray, ids: list[bytes], starts: list[int], sequence_length: int, padding_id: int
) -> Iterator[PackedSequence]:
    """Cut the end of the stream, with padding up to a whole number of sequences."""
    if len(block) < 2:  # the overlap of a stream that ended with a whole sequence
        return
    sequences = -(-(len(block) - 1) // sequence_length)
    padded = np.full(sequences * sequence_length + 1, padding_id, block.dtype)
    padded[: len(block)] = block
    yield from _cut(padded, sequences, ids, np.array(starts, np.int64), sequence_length, len(block))


def _cut(
    block: np.ndarray,
    sequences: int,
    ids: list[bytes],
    starts: np.ndarray,
    sequence_length: int,
    real_tokens: int | None = None,
) -> Iterator[PackedSequence]:
    """Yield the first `sequences` sequences of a block that begins at a sequence's first token."""
    begins = np.arange(sequences, dtype=np.int64) * sequence_length
    ends = begins + sequence_length + 1
    if real_tokens is not None:
        ends = np.minimum(ends, real_tokens)
    first = np.searchsorted(starts, begins, side="right") - 1
    after = np.searchsorted(starts, ends, side="left")
    counts = after - first
    # The segments of all sequences in one row: one that two sequences share stands there twice.
    stops = np.cumsum(counts)
    rows = np.repeat(np.arange(sequences), counts)
    distances = starts[np.arange(len(rows)) + (first - stops + counts)[rows]] - begins[rows]
    offsets = np.maximum(-distances, 0).astype(np.uint32)
    bounds = np.empty(len(rows) + sequences, np.uint32)
    bounds[np.arange(len(rows)) + rows] = np.maximum(distances, 0)
    bounds[stops + np.arange(sequences)] = ends - begins
    cuts = zip(begins.tolist(), first.tolist(), after.tolist(), stops.tolist(), strict=True)
    for number, (begin, first_segment, after_segment, stop) in enumerate(cuts):
        start = stop - (after_segment - first_segment)
        # A view would keep the whole block alive for as long as one sequence is.
        tokens = block[begin : begin + sequence_length + 1].copy()
        yield PackedSequence(
            tokens,
            bounds[start + number : stop + number + 1],
            ids[first_segment:after_segment],
            offsets[start:stop],
        )
