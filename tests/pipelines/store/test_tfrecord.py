"""Shards are ordinary TFRecords of tf.train.Examples, and damage in them is found."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from pipelines.store.files import StoreError, read_bytes
from pipelines.store.sequences import FEATURES, SequenceRecord, decode_sequence, encode_sequence
from pipelines.store.tfrecord import ShardReader, ShardWriter, decode_example, encode_example, frame, index_url

FEATURE_MAPS = st.dictionaries(st.text(min_size=1, max_size=20), st.binary(max_size=300), max_size=6)


@given(FEATURE_MAPS)
def test_examples_are_those_of_tensorflow(features):
    payload = encode_example(features)
    assert decode_example(payload) == features
    parsed = tf.train.Example.FromString(payload)
    assert {name: feature.bytes_list.value[0] for name, feature in parsed.features.feature.items()} == features


@given(st.binary(max_size=200))
def test_bytes_that_are_no_example_are_refused_not_misread(payload):
    try:
        features = decode_example(payload)
    except ValueError:
        return
    assert all(isinstance(value, bytes) for value in features.values())


def records(count):
    rng = np.random.default_rng(0)
    for number in range(count):
        tokens = rng.integers(0, 4096, 129).astype(np.uint16)
        bounds = np.array([0, 40, 129], np.uint32)
        yield SequenceRecord(tokens, bounds, [bytes([number]) * 16, b"b" * 16], np.array([7, 0], np.uint32))


@pytest.fixture
def shard(tmp_path):
    url = str(tmp_path / "part-00000-of-00001.tfrecord")
    with ShardWriter(url) as writer:
        for record in records(20):
            writer.write(encode_sequence(record))
    return url


def test_any_record_is_read_by_its_number(shard):
    reader = ShardReader(shard)
    assert len(reader) == 20
    for number, expected in enumerate(records(20)):
        record = decode_sequence(reader.record(number), "uint16")
        np.testing.assert_array_equal(record.tokens, expected.tokens)
        np.testing.assert_array_equal(record.segment_bounds, expected.segment_bounds)
        np.testing.assert_array_equal(record.document_offsets, expected.document_offsets)
        assert record.document_ids == expected.document_ids


def test_tf_data_reads_the_same_tokens(shard):
    spec = {name: tf.io.FixedLenFeature([], tf.string) for name in FEATURES}
    dataset = tf.data.TFRecordDataset(shard).map(lambda r: tf.io.parse_single_example(r, spec)["tokens"])
    theirs = np.stack([tokens.numpy() for tokens in dataset.map(lambda t: tf.io.decode_raw(t, tf.uint16))])
    reader = ShardReader(shard)
    ours = np.stack([decode_sequence(reader.record(i), "uint16").tokens for i in range(len(reader))])
    np.testing.assert_array_equal(theirs, ours)


@pytest.mark.parametrize("position", [0, 9, 12, 200, -1])
def test_one_flipped_byte_is_found(shard, position):
    start = len(frame(ShardReader(shard).record(0)))
    data = bytearray(read_bytes(shard))
    data[(start + position) if position >= 0 else (2 * start + position)] ^= 1
    Path(shard).write_bytes(data)
    reader = ShardReader(shard)
    reader.record(0)
    with pytest.raises(StoreError, match=r"part-00000-of-00001\.tfrecord: record 1 is damaged"):
        reader.record(1)


def test_an_empty_shard_has_an_index_of_no_records(tmp_path):
    url = str(tmp_path / "part.tfrecord")
    with ShardWriter(url):
        pass
    assert len(ShardReader(url)) == 0
    assert read_bytes(index_url(url)) == bytes(8)
