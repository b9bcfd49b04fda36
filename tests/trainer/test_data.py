from __future__ import annotations

import json

import numpy as np
import pytest

from pipelines.store.errors import GlamError
from pipelines.store.sequences import SequenceRecord
from pipelines.store.versions import Version
from trainer.data import Records, TrainingData, assemble


def test_segments_targets_and_padding_come_from_the_bounds():
    tokens = np.array([2, 10, 11, 2, 20, 21, 0, 0, 0], np.uint16)
    record = SequenceRecord(tokens, np.array([0, 3, 6], np.uint32), [b"a" * 16, b"b" * 16], np.zeros(2, np.uint32))
    batch = assemble([record], rows=2, length=8)
    assert batch.inputs[0].tolist() == [2, 10, 11, 2, 20, 21, 0, 0]
    assert batch.targets[0].tolist() == [10, 11, 2, 20, 21, 0, 0, 0]
    assert batch.segments[0].tolist() == [1, 1, 1, 2, 2, 2, 0, 0]
    assert batch.counted[0].tolist() == [True] * 5 + [False] * 3
    assert not batch.segments[1].any()
    assert not batch.counted[1].any()


def test_a_full_record_counts_every_target():
    tokens = np.arange(9, dtype=np.uint16)
    record = SequenceRecord(tokens, np.array([0, 8, 9], np.uint32), [b"a" * 16, b"b" * 16], np.zeros(2, np.uint32))
    batch = assemble([record], rows=1, length=8)
    assert batch.segments[0].tolist() == [1] * 8  # the second document gives a target only
    assert batch.counted.all()


def test_any_batch_is_the_same_whenever_it_is_asked_for(version):
    forwards = [TrainingData(version, 4, 7).batch(step) for step in range(6)]
    data = TrainingData(version, 4, 7)
    for step in reversed(range(6)):
        assert all(np.array_equal(*pair) for pair in zip(data.batch(step), forwards[step], strict=True))
    assert not np.array_equal(TrainingData(version, 4, 8).batch(0).inputs, forwards[0].inputs)


def test_rows_of_a_batch_are_read_without_the_others(version, monkeypatch):
    data, read = TrainingData(version, 6, 7), []
    payload = Records.payload
    monkeypatch.setattr(Records, "payload", lambda self, number: read.append(number) or payload(self, number))
    for step in (0, 166):  # the second one crosses the end of the first 1,000 rows
        whole = data.batch(step)
        for part in (slice(0, 2), slice(2, 6), slice(5, 6)):
            read.clear()
            for rows, all_rows in zip(data.batch(step, part), whole, strict=True):
                assert np.array_equal(rows, all_rows[part])
            assert len(read) == part.stop - part.start


def test_two_versions_that_differ_in_web_share_all_other_rows(version, other_version):
    one, other = TrainingData(version, 5, 7), TrainingData(other_version, 5, 7)
    books = {record.tokens.tobytes() for record in Records(version.components["books"].shards, version.token_dtype)}
    same = different = 0
    for step in range(60):
        for first, second in zip(one.records(step), other.records(step), strict=True):
            in_books = first.tokens.tobytes() in books
            assert in_books == (second.tokens.tobytes() in books)
            assert not in_books or np.array_equal(first.tokens, second.tokens)
            same += in_books
            different += not in_books and not np.array_equal(first.tokens, second.tokens)
    assert same > 30
    assert different > 100


def test_every_record_of_a_component_is_read_by_number(version):
    entry = version.components["web"]
    records = Records(entry.shards, version.token_dtype)
    assert len(records) == entry.records
    targets = sum(int(assemble([record], 1, version.sequence_length).counted.sum()) for record in records)
    assert targets == entry.tokens - len(entry.shards)  # every token but each shard's first is a target once
    with pytest.raises(IndexError):
        records[len(records)]


def test_a_component_without_records_is_refused_by_name(version):
    manifest = json.loads(json.dumps(version.manifest))
    manifest["components"]["books"]["shards"] = []
    with pytest.raises(GlamError, match="books have a weight but no records"):
        TrainingData(Version(version.url, manifest), 4, 7)
