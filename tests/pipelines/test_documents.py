"""Document and decision tables are written and read a row group at a time."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.documents import ID_TYPE, ROW_GROUP_ROWS, TableWriter, read_batches, write_parquet
from pipelines.store.files import StoreError


def made_table(rows, column="text", shift=0):
    ids = pa.array([number.to_bytes(16, "big") for number in range(shift, rows + shift)], ID_TYPE)
    return pa.table({"id": ids, column: pa.array([f"{number}" * 3 if number % 5 else None for number in range(rows)])})


def test_row_groups_written_one_by_one_give_the_bytes_of_the_whole_table(tmp_path):
    table = made_table(2 * ROW_GROUP_ROWS + 10)
    whole = write_parquet(str(tmp_path / "whole.parquet"), table)
    with TableWriter(str(tmp_path / "parts.parquet"), table.schema) as writer:
        for start in range(0, table.num_rows, ROW_GROUP_ROWS):
            writer.write(table.slice(start, ROW_GROUP_ROWS).combine_chunks().to_batches()[0])
    assert (writer.digest, writer.rows) == (whole, table.num_rows)
    settings = {"compression": "zstd", "write_statistics": False, "write_page_checksum": True}
    pq.write_table(table, tmp_path / "plain", row_group_size=ROW_GROUP_ROWS, **settings)
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_a_table_given_up_leaves_no_file(tmp_path):
    table = made_table(10)

    def write_half():
        with TableWriter(str(tmp_path / "half.parquet"), table.schema) as writer:
            writer.write_table(table)
            raise KeyError("the job failed")

    with pytest.raises(KeyError, match="the job failed"):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_documents_are_read_with_their_decisions_row_group_by_row_group(tmp_path):
    documents, decisions = str(tmp_path / "documents.parquet"), str(tmp_path / "decisions.parquet")
    write_parquet(documents, made_table(ROW_GROUP_ROWS + 7))
    write_parquet(decisions, made_table(ROW_GROUP_ROWS + 7, "reason"))
    batches = list(read_batches(documents, ("text",), {"job": (decisions, ("reason",))}))
    assert [len(batch["id"]) for batch in batches] == [ROW_GROUP_ROWS, 7]
    assert all(batch["text"].equals(batch["job.reason"]) for batch in batches)


def test_a_shard_without_documents_gives_no_batch(tmp_path):
    documents, decisions = str(tmp_path / "documents.parquet"), str(tmp_path / "decisions.parquet")
    write_parquet(documents, made_table(0))
    write_parquet(decisions, made_table(0, "reason"))
    assert list(read_batches(documents, ("text",), {"job": (decisions, ("reason",))})) == []


@pytest.mark.parametrize(
    ("decisions", "problem"),
    [
        (made_table(9, "reason"), "another number of rows"),
        (made_table(10, "reason", shift=1), "its ids are not those of"),
        (None, "not a sound Parquet file"),
    ],
)
def test_decisions_that_do_not_belong_to_the_documents_are_refused(tmp_path, decisions, problem):
    documents, url = str(tmp_path / "documents.parquet"), str(tmp_path / "decisions.parquet")
    write_parquet(documents, made_table(10))
    if decisions is None:
        Path(url).write_bytes(b"PAR1 and no more")
    else:
        write_parquet(url, decisions)
    with pytest.raises(StoreError, match=f"{url}.*{problem}"):
        list(read_batches(documents, (), {"job": (url, ("reason",))}))
