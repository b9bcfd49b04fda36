"""Documents and decisions as Parquet shards: the schemas of docs/formats.md, and reading them side by side.

A decision table lies beside its documents: the same shards, the same rows in the same order, `id` first. So a job
that needs documents and what earlier jobs said of them streams a few files together and shuffles nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.store.files import AtomicFile, FileDigest, StoreError, open_read

ROW_GROUP_ROWS = 1024
THRESHOLDS_PATH = "thresholds.u64"
"""The Pareto table of the stage `sample`, beside its decisions."""

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
LEFT_OUT_SCHEMA = pa.schema(
    [
        ("native_key", pa.string()),
        ("file", pa.string()),
        ("offset", pa.int64()),
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)
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

VARIANT_JOBS: dict[str, tuple[str, ...]] = {"all": (), "filtered": ("sample",), "random": ("subset",)}
"""The jobs that choose among the training documents of a component for each variant of it."""

CHOICES = {"sample": ("keep", "pareto"), "subset": ("random", "not_in_subset")}
"""The column of each such job's choice, and the reason under which it drops a document."""


def write_parquet(url: str, table: pa.Table) -> FileDigest:
    """Write a table as one Parquet file; equal tables give equal bytes."""
    with TableWriter(url, table.schema) as writer:
        writer.write_table(table)
    return writer.digest


class TableWriter:
    """Writes a Parquet file a row group at a time, so that no more than one is held in memory.

    Args:
        url: of the file, which appears when the writer is closed without an error.
        schema: of the table.
    """

    def __init__(self, url: str, schema: pa.Schema) -> None:
        self.rows = 0
        self._file = AtomicFile(url)
        self._writer = pq.ParquetWriter(
            self._file, schema, compression="zstd", write_statistics=False, write_page_checksum=True
        )

    def write(self, batch: pa.RecordBatch) -> None:
        """Write a row group: ROW_GROUP_ROWS rows, the last may have fewer; none where there is no row."""
        if batch.num_rows:
            self._writer.write_batch(batch, row_group_size=ROW_GROUP_ROWS)
            self.rows += batch.num_rows

    def write_table(self, table: pa.Table) -> None:
        """Write the row groups of a whole table."""
        for batch in table.combine_chunks().to_batches(ROW_GROUP_ROWS):
            self.write(batch)

    @property
    def digest(self) -> FileDigest:
        """Size and hash of the closed file."""
        return self._file.digest

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file if kind is None else suppress(Exception):
            self._writer.close()
        if kind is not None:
            self._file.discard()


def read_table(url: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a whole Parquet file.

    Raises:
        StoreError: when it is not a sound Parquet file.
    """
    try:
        with open_read(url) as file:
            return pq.read_table(file, columns=list(columns) if columns else None, page_checksum_verification=True)
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
    wanted = ["id", *(name for name in columns if name != "id")]
    with ExitStack() as files:
        documents = _open_table(files, documents_url)
        tables = {job: (url, _open_table(files, url), names) for job, (url, names) in decisions.items()}
        for url, table, _ in tables.values():
            if table.metadata.num_rows != documents.metadata.num_rows:
                raise StoreError(f"{url}: it has another number of rows than {documents_url}; build again")
        for group in range(documents.num_row_groups):
            batch = _read_group(documents_url, documents, group, wanted)
            for job, (url, table, names) in tables.items():
                decided = _read_group(url, table, group, ["id", *names])
                if not decided["id"].equals(batch["id"]):
                    raise StoreError(
                        f"{url}: its ids are not those of {documents_url}; delete the stage {job!r} and build again"
                    )
                batch |= {f"{job}.{name}": decided[name] for name in names}
            yield batch


def _open_table(files: ExitStack, url: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(files.enter_context(open_read(url)), page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise damaged(url, error) from error


def _read_group(url: str, table: pq.ParquetFile, group: int, columns: Sequence[str]) -> dict[str, Any]:
    """Return the columns of a row group; every table of a shard has its rows in the same groups."""
    try:
        rows = table.read_row_group(group, columns)
    except (pa.ArrowException, OSError) as error:
        raise damaged(url, error) from error
    return {name: rows.column(name).combine_chunks() for name in columns}


def ids_of(array: pa.Array) -> np.ndarray:
    """Return a column of 16-byte ids as a numpy array of dtype `V16`, without copying."""
    data = array.buffers()[1]
    return np.frombuffer(data, "V16", count=len(array), offset=array.offset * 16)
