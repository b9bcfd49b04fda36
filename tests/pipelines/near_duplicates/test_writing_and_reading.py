"""What stands between shards and packed records refuses to lose a document."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.near_duplicates.jaccard import read_shingle_sets
from pipelines.near_duplicates.records import DECISION
from pipelines.near_duplicates.verification import ShingleSetMessage, decode_messages
from pipelines.near_duplicates.writing import WriteDecisions
from pipelines.store.files import StoreError
from tests.pipelines.near_duplicates.corpora import Document, write_source
from tests.pipelines.near_duplicates.test_words_and_shingles import shingles_of


@pytest.mark.parametrize("rows", [[0, 1], [0, 1, 1], [0, 1, 2, 3]])
def test_a_shard_is_only_written_when_every_document_has_one_decision(tmp_path: Path, rows: list[int]) -> None:
    (url,) = write_source(tmp_path, "web", [Document(str(place), f"text {place}") for place in range(3)], shards=1)
    decisions = np.zeros(len(rows), DECISION)
    decisions["node"] = rows
    work = {"source": "web", "documents": url, "output": str(tmp_path / "out.parquet"), "output_path": "out.parquet"}
    with pytest.raises(StoreError, match=rf"{url}: 3 documents have {len(rows)} decisions"):
        list(WriteDecisions().process((0, {"work": [work], "decisions": [decisions.tobytes()], "read": [3]})))
    assert not (tmp_path / "out.parquet").exists()


def test_only_the_rows_asked_for_are_read_across_row_groups(tmp_path: Path) -> None:
    documents = [Document(str(place), " ".join(f"{place}w{word}" for word in range(7))) for place in range(2100)]
    (url,) = write_source(tmp_path, "web", documents, shards=1)
    in_order = sorted(documents, key=lambda document: document.id("web"))
    rows = np.array([0, 1023, 1024, 2099])
    for row, shingles in read_shingle_sets(url, rows, 5):
        assert shingles.tolist() == shingles_of([in_order[row].text]).shingle_set(0).tolist()
    assert [row for row, _ in read_shingle_sets(url, rows, 5)] == rows.tolist()


def test_a_missing_row_and_a_damaged_shard_are_named(tmp_path: Path) -> None:
    (url,) = write_source(tmp_path, "web", [Document("a", "text")], shards=1)
    with pytest.raises(StoreError, match=f"{url}: row 1 is missing"):
        list(read_shingle_sets(url, np.array([0, 1]), 5))
    Path(url).write_bytes(b"not Parquet")
    with pytest.raises(StoreError, match=f"{url}: not a sound Parquet file"):
        list(read_shingle_sets(url, np.array([0]), 5))


def test_messages_come_out_as_they_went_in() -> None:
    messages = [
        ShingleSetMessage(3, np.array([1 << 40], np.uint64), np.arange(5, dtype=np.uint64)),
        ShingleSetMessage((1 << 63) + 1, np.array([7, 8], np.uint64), np.empty(0, np.uint64)),
    ]
    found = list(decode_messages(b"".join(message.encode() for message in messages)))
    for left, right in zip(messages, found, strict=True):
        assert left.node == right.node
        assert left.targets.tolist() == right.targets.tolist()
        assert left.shingles.tolist() == right.shingles.tolist()
