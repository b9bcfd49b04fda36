"""Documents and decisions as Parquet shards: the schemas of docs/formats.md, and reading them side by side.

A decision table lies beside its documents: the same shards, the same rows in the same order, `id` first. So a job
that needs documents and what earlier jobs said of them streams a few files together and shuffles nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.store.files import AtomicFile, FileDigest, StoreError, open_read

ROW_GROUP_ROWS = 1024
ID_TYPE = pa.binary(16)

DOCUMENT_SCHEMA = pa.schema(
    [
        ("id", ID_TYPE),
        ("content_hash", ID_TYPE),
        ("source", pa.string()),
        ("native_key", pa.string()),
        ("url", pa.string()),
        ("title", pa.string()),
        ("date", pa.string()),
        ("language", pa.string()),
        ("text", pa.large_string()),
        ("part", pa.int32()),
        ("raw_bytes", pa.int64()),
        ("text_bytes", pa.int64()),
    ]
)
PROVENANCE_SCHEMA = pa.schema([("id", ID_TYPE), ("file", pa.string()), ("offset", pa.int64())])
DECISION_SCHEMAS = {
    "deduplicate": pa.schema(
        [
            ("id", ID_TYPE),
            ("reason", pa.string()),
            ("representative", ID_TYPE),
            ("cluster", ID_TYPE),
            ("cluster_stays", pa.int32()),
            ("jaccard", pa.float32()),
        ]
    ),
    "holdout": pa.schema([("id", ID_TYPE), ("split", pa.string())]),
    "decontaminate": pa.schema(
        [
            ("id", ID_TYPE),
            ("split", pa.string()),
            ("matches", pa.int32()),
            ("spans", pa.list_(pa.list_(pa.int64(), 2))),
            ("text_bytes", pa.int64()),
        ]
    ),
    "quality": pa.schema([("id", ID_TYPE), ("score", pa.int32()), ("fold", pa.int8())]),
    "sample": pa.schema([("id", ID_TYPE), ("rank", pa.int32()), ("draw", pa.uint64()), ("keep", pa.bool_())]),
    "subset": pa.schema([("id", ID_TYPE), ("random", pa.bool_())]),
    "tokenize": pa.schema([("id", ID_TYPE), ("count", pa.int32()), ("tokens", pa.binary())]),
}


def write_parquet(url: str, table: pa.Table) -> FileDigest:
    """Write a table as one Parquet file; equal tables give equal bytes."""
    with AtomicFile(url) as file:
        pq.write_table(
            table.combine_chunks(), file, row_group_size=ROW_GROUP_ROWS, compression="zstd", write_statistics=False
        )
    return file.digest


def read_table(url: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a whole Parquet file.

    Raises:
        StoreError: when it is not a sound Parquet file.
    """
    try:
        with open_read(url) as file:
            return pq.read_table(file, columns=list(columns) if columns else None)
    except (pa.ArrowException, OSError) as error:
        raise damaged(url, error) from error


def damaged(url: str, error: Exception) -> StoreError:
    """Return the error that names a Parquet file which cannot be read."""
    return StoreError(f"{url}: not a sound Parquet file ({error}); delete its stage's folder and build again")


def read_batches(
    documents_url: str, columns: Sequence[str], decisions: Mapping[str, tuple[str, Sequence[str]]]
) -> Iterator[dict[str, Any]]:
    """Stream a document shard with its decisions, one row group (at most 1,024 documents) at a time.

    Args:
        documents_url: the document shard.
        columns: its columns to read; `id` is always read.
        decisions: of each job: the url of the decision shard and the columns to read from it.

    Yields:
        {column: pyarrow array}; a decision's column is named `job.column`.

    Raises:
        StoreError: when a file is damaged or a decision table does not belong to these documents.
    """
    tables = {job: read_table(url, ["id", *names]) for job, (url, names) in decisions.items()}
    start = 0
    try:
        with open_read(documents_url) as file:
            parquet = pq.ParquetFile(file)
            for table in tables.values():
                if table.num_rows != parquet.metadata.num_rows:
                    raise StoreError(f"{documents_url}: a decision table has another number of rows; build again")
            wanted = ["id", *(name for name in columns if name != "id")]
            for group in range(parquet.num_row_groups):
                rows = parquet.read_row_group(group, wanted)
                batch = {name: rows.column(name).combine_chunks() for name in wanted}
                for job, table in tables.items():
                    part = table.slice(start, rows.num_rows)
                    if not part.column("id").combine_chunks().equals(batch["id"]):
                        raise StoreError(
                            f"{decisions[job][0]}: its ids are not those of {documents_url}; "
                            f"delete the stage {job!r} and build again"
                        )
                    for name in decisions[job][1]:
                        batch[f"{job}.{name}"] = part.column(name).combine_chunks()
                start += rows.num_rows
                yield batch
    except (pa.ArrowException, OSError) as error:
        raise damaged(documents_url, error) from error


def ids_of(array: pa.Array) -> np.ndarray:
    """Return a column of 16-byte ids as a numpy array of dtype `V16`, without copying."""
    data = array.buffers()[1]
    return np.frombuffer(data, "V16", count=len(array), offset=array.offset * 16)
