"""Rows of documents, and of records that gave none, while extraction sends them to their shards.

In: a work item (a file of a source) and its records. Out: rows of ROW_SCHEMA and LEFT_OUT_SCHEMA, packed as Arrow
streams keyed by the address of their shard. It imports no Beam.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from pipelines.documents import DOCUMENT_SCHEMA
from pipelines.language import detect
from pipelines.sources.record import Quarantined, Record, Used
from pipelines.store.hashing import content_hash, document_id, shard_of

ROW_SCHEMA = pa.schema([*DOCUMENT_SCHEMA, ("file", pa.string()), ("offset", pa.int64())])
_COMPRESSED = pa.ipc.IpcWriteOptions(compression="zstd")  # text travels through the shuffle at a third of its size

Waiting = dict[int, list[tuple[Any, ...]]]
"""Rows that wait to be packed, by the address of their shard."""


def document_rows(work: dict[str, Any], record: Record) -> Iterator[tuple[Any, ...]]:
    """Yield a row of ROW_SCHEMA for each text of a record."""
    if not isinstance(record.outcome, Used):
        return
    source, native_key = work["source"], _encodable(record.native_key)
    for text in record.outcome.texts:
        content = content_hash(text.text)
        yield (
            document_id(source, native_key, content),
            content,
            source,
            native_key,
            text.url and _encodable(text.url),
            text.title and _encodable(text.title),
            text.date and _encodable(text.date),
            detect(text.text),
            text.text,
            text.part,
            record.raw_bytes + record.outcome.joined_bytes,
            len(text.text.encode()),
            work["url"],
            record.offset,
        )


def left_out_rows(work: dict[str, Any], record: Record) -> Iterator[tuple[Any, ...]]:
    """Yield a row of LEFT_OUT_SCHEMA for a record that was skipped or quarantined."""
    if not isinstance(record.outcome, Used):
        detail = record.outcome.detail if isinstance(record.outcome, Quarantined) else None
        key = _encodable(record.native_key)
        yield key, work["url"], record.offset, record.outcome.reason, detail and _encodable(detail)


def left_out_shard(row: tuple[Any, ...], shards: int) -> int:
    """Return the number of the shard of a row of LEFT_OUT_SCHEMA."""
    return shard_of(content_hash(f"{row[0]} {row[1]} {row[2]}"), shards)


def _encodable(text: str) -> str:
    """Return a text with lone surrogates, which UTF-8 cannot hold, written out as `\\udXXX`."""
    return text.encode("utf-8", "backslashreplace").decode()


def packed(waiting: Waiting, schema: pa.Schema) -> Iterator[tuple[int, bytes]]:
    """Yield the rows of each address as one Arrow stream."""
    for address, rows in waiting.items():
        columns = [pa.array(c, f.type) for c, f in zip(zip(*rows, strict=True), schema, strict=True)]
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, schema, options=_COMPRESSED) as writer:
            writer.write_batch(pa.record_batch(columns, schema=schema))
        yield address, sink.getvalue()


def unpacked(blocks: Iterable[bytes], schema: pa.Schema, order: Iterable[str]) -> pa.Table:
    """Return the rows of packed blocks, sorted by the columns `order`."""
    tables = [pa.ipc.open_stream(block).read_all() for block in blocks]
    return pa.concat_tables([schema.empty_table(), *tables]).sort_by([(name, "ascending") for name in order])
