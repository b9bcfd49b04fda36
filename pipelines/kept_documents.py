"""The documents that a version has, with text and verdicts: a sample to read, or all of them as Parquet or JSON lines.

In: a version's documents and decisions. Out: rows of EXPORT_SCHEMA. The text is the one that is trained on: spans that
decontamination cuts are not in it. It imports no Beam.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.contamination.cuts import trained_texts
from pipelines.documents import TableWriter, ids_of
from pipelines.lookup import VersionDocuments
from pipelines.store.files import AtomicFile, FileDigest, join
from pipelines.store.hashing import KeyedHash, part_name
from pipelines.verdicts import HELD_OUT, TRAIN, Judged, Verdicts

TEXTS = ("source", "native_key", "url", "title", "date", "language", "text")
EXPORT_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("component", pa.string()),
        *((name, pa.string()) for name in TEXTS),
        ("licence", pa.string()),
        ("split", pa.string()),
        ("tokens", pa.int64()),
        ("quality_score", pa.float64()),
        ("cluster", pa.string()),
        ("matches", pa.int32()),
    ]
)
"""`id` and `cluster` in hexadecimal; `split` train, heldout or out_of_domain; `quality_score` 0 to 1, null where its
component is not scored; `matches` as in the decisions, null where nothing was compared.
"""

SPLITS = {TRAIN: (TRAIN,), "heldout": HELD_OUT}
"""The folders of an export, and the verdicts of the documents in each."""


class KeptDocuments:
    """The documents of a version that it trains on or holds out.

    Args:
        documents: of the version.
    """

    def __init__(self, documents: VersionDocuments) -> None:
        self.documents = documents
        self.verdicts = Verdicts(documents)
        self._licences: dict[str, str] = documents.version.manifest["side"].get("licences", {})
        self._decisions: dict[str, tuple[str, ...]] = {"deduplicate": ("cluster",)}
        if "quality" in documents.jobs:
            self._decisions["quality"] = ("score",)
        if "decontaminate" in documents.jobs:
            self._decisions["decontaminate"] = ("matches", "spans")

    def shards(self, component: str | None = None) -> list[tuple[str, int]]:
        """Return every (source, shard), of one component if it is given."""
        of = self.verdicts.component_of
        return self.documents.shards(name for name in self.documents.sources if component in (None, of[name]))

    def rows(self, source: str, shard: int, verdicts: tuple[str, ...]) -> Iterator[pa.Table]:
        """Stream a shard's documents that have one of these verdicts, as tables of EXPORT_SCHEMA."""
        for judged in self.verdicts.read(source, shard, TEXTS, self._decisions):
            yield self._table(source, judged, judged.of(verdicts))

    def sample(self, count: int, component: str | None, verdicts: tuple[str, ...], seed: int) -> list[dict[str, Any]]:
        """Return `count` documents, those first in the order of hash(seed, `sample`, id), as rows of EXPORT_SCHEMA."""
        draw = KeyedHash(seed, "sample")
        drawn: list[tuple[int, str, int, str]] = []
        for source, shard in self.shards(component):
            for judged in self.verdicts.read(source, shard):
                ids = [bytes(id_) for id_ in ids_of(judged.columns["id"])[judged.of(verdicts)]]
                drawn += zip(
                    draw.many(ids), [source] * len(ids), [shard] * len(ids), [i.hex() for i in ids], strict=True
                )
            drawn = sorted(drawn)[:count]
        wanted = {identifier: place for place, (*_, identifier) in enumerate(drawn)}
        found = [
            row
            for source, shard in sorted({(source, shard) for _, source, shard, _ in drawn})
            for table in self.rows(source, shard, verdicts)
            for row in table.filter(pa.array([i in wanted for i in table["id"].to_pylist()], pa.bool_())).to_pylist()
        ]
        return sorted(found, key=lambda row: wanted[row["id"]])

    def _table(self, source: str, judged: Judged, rows: np.ndarray) -> pa.Table:
        batch, taken = judged.columns, pa.array(rows)
        spans = {"training.spans": batch["decontaminate.spans"]} if "decontaminate.spans" in batch else {}
        columns = {name: batch[name].take(taken) for name in TEXTS}
        columns["text"] = trained_texts({"text": batch["text"], **spans}).take(taken)
        scores = batch["quality.score"].take(taken).to_pylist() if "quality.score" in batch else [None] * len(rows)
        matches = batch.get("decontaminate.matches")
        return pa.Table.from_pydict(
            {
                "id": [i.hex() for i in batch["id"].take(taken).to_pylist()],
                "component": [self.verdicts.component_of[source]] * len(rows),
                **{name: column.cast(pa.string()) for name, column in columns.items()},
                "licence": [self._licences.get(source, "unknown")] * len(rows),
                "split": judged.verdicts.take(taken),
                "tokens": judged.tokens[rows],
                "quality_score": [None if score is None else score / 65536 for score in scores],
                "cluster": [c and c.hex() for c in batch["deduplicate.cluster"].take(taken).to_pylist()],
                "matches": [None] * len(rows) if matches is None else matches.take(taken),
            },
            EXPORT_SCHEMA,
        )


@dataclass(frozen=True)
class ExportedFile:
    """A file of an export: its path in the folder, folder of SPLITS, rows, size and sha256."""

    path: str
    split: str
    rows: int
    digest: FileDigest


def export(
    kept: KeptDocuments, out: str, form: str, on_rows: Callable[[int], object] | None = None
) -> list[ExportedFile]:
    """Write all kept documents, a file for every shard of documents that has some, and return the files by path.

    Args:
        kept: the documents.
        out: folder to write to.
        form: `parquet` or `jsonl`.
        on_rows: called, from several threads, with the documents written since the last call.
    """

    def write(item: tuple[str, str, int]) -> ExportedFile | None:
        split, source, shard = item
        name = part_name(shard, kept.documents.count(source), f".{form}")
        path = f"data/{split}/{kept.verdicts.component_of[source]}/{source}-{name}"
        tables = (table for table in kept.rows(source, shard, SPLITS[split]) if table.num_rows)
        if (first := next(tables, None)) is None:
            return None
        rows, digest = (_write_parquet if form == "parquet" else _write_lines)(join(out, path), chain([first], tables))
        if on_rows is not None:
            on_rows(rows)
        return ExportedFile(path, split, rows, digest)

    items = [(split, source, shard) for split in SPLITS for source, shard in kept.shards()]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return sorted((file for file in pool.map(write, items) if file is not None), key=lambda file: file.path)


def _write_parquet(url: str, tables: Iterable[pa.Table]) -> tuple[int, FileDigest]:
    with TableWriter(url, EXPORT_SCHEMA) as writer:
        for table in tables:
            writer.write_table(table)
    return writer.rows, writer.digest


def _write_lines(url: str, tables: Iterable[pa.Table]) -> tuple[int, FileDigest]:
    rows = 0
    with AtomicFile(url) as file:
        for table in tables:
            file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist()).encode())
            rows += table.num_rows
    return rows, file.digest
