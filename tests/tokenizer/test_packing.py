"""Packing equals a slow reference that walks the stream token by token."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tokenizer import packing
from tokenizer.packing import cut_document, pack

START, PADDING = 2, 0
DOCUMENTS = st.lists(st.lists(st.integers(3, 60_000), min_size=1, max_size=40), max_size=12)


def numbered(documents: list[list[int]]) -> Iterator[tuple[bytes, np.ndarray]]:
    return ((n.to_bytes(16, "big"), np.array(tokens, np.uint16)) for n, tokens in enumerate(documents))


def reference(documents: list[list[int]], length: int) -> list[tuple]:
    stream = [
        (token, n.to_bytes(16, "big"), offset)
        for n, tokens in enumerate(documents)
        for offset, token in enumerate([START, *tokens])
    ]
    sequences = []
    for begin in range(0, len(stream) - 1, length):
        window = stream[begin : begin + length + 1]
        firsts = [i for i, (_, name, _) in enumerate(window) if i == 0 or name != window[i - 1][1]]
        tokens = [token for token, _, _ in window] + [PADDING] * (length + 1 - len(window))
        bounds = [*firsts, len(window)]
        sequences.append((tokens, bounds, [window[i][1] for i in firsts], [window[i][2] for i in firsts]))
    return sequences


def as_lists(sequences) -> list[tuple]:
    return [
        (s.tokens.tolist(), s.segment_bounds.tolist(), s.document_ids, s.document_offsets.tolist()) for s in sequences
    ]


@settings(max_examples=300)
@given(DOCUMENTS, st.integers(1, 30), st.integers(1, 4))
@example([[5] * 7, [6]], 4, 1)
@example([[5] * 8], 4, 1)
@example([[5], [6], [7]], 1, 1)
def test_equal_to_the_reference_for_any_size_of_block(documents, length, block):
    before = packing.BLOCK_SEQUENCES
    packing.BLOCK_SEQUENCES = block
    try:
        packed = list(pack(numbered(documents), length, START, PADDING))
    finally:
        packing.BLOCK_SEQUENCES = before
    assert as_lists(packed) == reference(documents, length)


@given(DOCUMENTS, st.integers(1, 30))
def test_every_token_but_the_first_is_a_target_exactly_once(documents, length):
    targets = []
    for sequence in pack(numbered(documents), length, START, PADDING):
        targets += sequence.tokens[1 : int(sequence.segment_bounds[-1])].tolist()
    stream = [token for tokens in documents for token in [START, *tokens]]
    assert targets == stream[1:]


@given(st.lists(st.integers(3, 99), min_size=1, max_size=60), st.integers(1, 20))
def test_a_held_out_document_has_sequences_of_its_own(tokens, length):
    sequences = cut_document(b"h" * 16, np.array(tokens, np.uint32), length, START, PADDING)
    assert len(sequences) == -(-len(tokens) // length)
    assert all(sequence.document_ids == [b"h" * 16] for sequence in sequences)
    assert [int(s.document_offsets[0]) for s in sequences] == [i * length for i in range(len(sequences))]
    assert sum(int(s.segment_bounds[-1]) - 1 for s in sequences) == len(tokens)


def test_arrays_have_the_types_of_the_format():
    (sequence,) = pack(numbered([[5, 6]]), 4, START, PADDING)
    assert sequence.tokens.dtype == np.uint16
    assert sequence.segment_bounds.dtype == sequence.document_offsets.dtype == np.uint32
    assert sequence.tokens.tolist() == [START, 5, 6, PADDING, PADDING]


def test_memory_does_not_grow_with_the_stream():
    asked = 0

    def endless() -> Iterator[tuple[bytes, np.ndarray]]:
        nonlocal asked
        while True:
            asked += 1
            yield bytes(16), np.full(100, 7, np.uint16)

    sequences = pack(endless(), 100, START, PADDING)
    for _ in range(3):
        next(sequences)
    assert asked <= packing.BLOCK_SEQUENCES + 2
    assert next(sequences).tokens.base is None


def test_no_documents_give_no_sequences():
    assert list(pack([], 4, START, PADDING)) == []


def test_a_document_without_tokens_is_refused_by_id():
    with pytest.raises(ValueError, match=f"document {bytes(16).hex()} has no tokens"):
        list(pack(numbered([[]]), 4, START, PADDING))


def test_a_length_of_nothing_is_refused():
    with pytest.raises(ValueError, match="sequence_length = 0"):
        list(pack(numbered([[5]]), 0, START, PADDING))
