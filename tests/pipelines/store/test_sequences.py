"""Reading many records at once gives what reading them one by one gives, however they are written."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.store.sequences import SequenceReader, SequenceRecord, decode_sequence, encode_sequence
from pipelines.store.tfrecord import decode_example, encode_example

LENGTH = 12


def record(starts, tokens, dtype="uint16"):
    """A record whose segments begin at `starts`; its contents look like the bytes around them as often as not."""
    bounds = np.array([0, *sorted(starts), LENGTH + 1], np.uint32)
    ids = [bytes([10, number % 256]) * 8 for number in range(len(bounds) - 1)]
    return SequenceRecord(np.resize(np.array(tokens, dtype), LENGTH + 1), bounds, ids, np.arange(len(ids)) * 7)


RECORDS = st.builds(
    record,
    st.sets(st.integers(1, LENGTH)),
    st.lists(st.sampled_from([0, 10, 2570, 0xFFFF, 266]), min_size=1, max_size=LENGTH + 1),
)


@given(st.lists(RECORDS, min_size=1, max_size=8))
def test_many_records_read_at_once_are_those_read_one_by_one(records):
    payloads = list(map(encode_sequence, records))
    tokens, bounds = SequenceReader(LENGTH, "uint16").read(payloads)
    for payload, row, segments in zip(payloads, tokens, bounds, strict=True):
        expected = decode_sequence(payload, "uint16")
        np.testing.assert_array_equal(row, expected.tokens)
        np.testing.assert_array_equal(segments, expected.segment_bounds)


@given(RECORDS)
def test_a_record_is_the_example_of_its_features(made):
    features = {
        "document_ids": b"".join(made.document_ids),
        "document_offsets": made.document_offsets.astype("<u4").tobytes(),
        "segment_bounds": made.segment_bounds.astype("<u4").tobytes(),
        "tokens": made.tokens.astype("<u2").tobytes(),
    }
    assert encode_sequence(made) == encode_example(features)


def test_wide_tokens_are_read():
    made = record({4}, [70_000, 3], "uint32")
    tokens, _ = SequenceReader(LENGTH, "uint32").read([encode_sequence(made)] * 2)
    assert tokens.tolist() == [made.tokens.tolist()] * 2


def test_features_in_another_order_are_read_too():
    written = encode_sequence(record({3, 5}, range(13)))
    features = decode_example(written)
    entries = [encode_example({name: features[name]}) for name in sorted(features, reverse=True)]
    bodies = [entry[entry.index(b"\n", 1) :] for entry in entries]
    size = sum(map(len, bodies))
    other = b"\n" + bytes([size & 127 | 128, size >> 7]) + b"".join(bodies)
    assert len(other) == len(written)
    assert other != written
    reader = SequenceReader(LENGTH, "uint16")
    tokens, bounds = reader.read([written, other, written])
    assert (tokens == tokens[0]).all()
    assert [segments.tolist() for segments in bounds] == [[0, 3, 5, 13]] * 3


def test_a_record_of_another_length_is_refused():
    with pytest.raises(ValueError, match="the record has 13 tokens, not 9"):
        SequenceReader(8, "uint16").read([encode_sequence(record(set(), [1]))])
