"""Document shards made for tests: texts with ids, written the way extraction writes them, and deduplicated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipelines.deduplicate import Deduplicate
from pipelines.documents import DOCUMENT_SCHEMA, read_table, write_parquet
from pipelines.engine import read_results, read_work_list, write_results, write_work_list
from pipelines.near_duplicates.settings import DeduplicateSettings
from pipelines.store.hashing import content_hash, document_id, part_name, shard_of

ADDRESSES_A_SOURCE = 1 << 16


@dataclass(frozen=True)
class Document:
    """A document to write: native key, text, language."""

    key: str
    text: str
    language: str = "en"

    def id(self, source: str) -> bytes:
        return document_id(source, self.key, content_hash(self.text))


@dataclass(frozen=True)
class Decisions:
    """What a run said: rows {id: (reason, representative, jaccard)}, clusters {id: (cluster, how many of it stay)},
    counts by source, figures, bytes shuffled.
    """

    rows: dict[bytes, tuple[str | None, bytes | None, float | None]]
    clusters: dict[bytes, tuple[bytes | None, int | None]]
    counts: dict[str, dict[str, int]]
    statistics: dict[str, int]
    digests: dict[str, str] = field(default_factory=dict)
    shuffled_bytes: int = 0


def write_source(folder: Path, source: str, documents: Sequence[Document], shards: int) -> list[str]:
    """Write a source's document shards; rows sorted by id, shard by id."""
    by_shard: list[list[dict[str, Any]]] = [[] for _ in range(shards)]
    for document in documents:
        identifier = document.id(source)
        row = dict.fromkeys(DOCUMENT_SCHEMA.names)
        row |= {"id": identifier, "content_hash": content_hash(document.text), "source": source, "text": document.text}
        row |= {"native_key": document.key, "language": document.language, "part": 0, "raw_bytes": len(document.text)}
        row["text_bytes"] = len(document.text.encode())
        by_shard[shard_of(identifier, shards)].append(row)
    urls = []
    for shard, rows in enumerate(by_shard):
        url = str(folder / "documents" / source / part_name(shard, shards, ".parquet"))
        table = pa.Table.from_pylist(sorted(rows, key=lambda row: row["id"]), DOCUMENT_SCHEMA)
        write_parquet(url, table)
        urls.append(url)
    return urls


def deduplicate(
    folder: Path,
    sources: Mapping[str, Sequence[Document]],
    settings: DeduplicateSettings | None = None,
    *,
    components: Mapping[str, str] | None = None,
    languages: Sequence[str] = (),
    min_characters: int = 1,
    shards: int = 3,
    reverse: bool = False,
    options: Sequence[str] = (),
) -> Decisions:
    """Write sources ({name: documents}) and run the job on them; a source is its own component by default."""
    work = []
    for index, (source, documents) in enumerate(sorted(sources.items())):
        for shard, url in enumerate(write_source(folder, source, documents, shards)):
            path = f"decisions/{source}/{part_name(shard, shards, '.parquet')}"
            item = {"source": source, "component": (components or {}).get(source, source), "documents": url}
            item |= {"address": index * ADDRESSES_A_SOURCE + shard, "output": str(folder / path), "output_path": path}
            work.append(item | {"decisions": {}})
    if reverse:
        work.reverse()
    return run_job(folder, work, settings or DeduplicateSettings(), languages, min_characters, options)


def run_job(
    folder: Path,
    work: Sequence[Mapping[str, Any]],
    settings: DeduplicateSettings,
    languages: Sequence[str],
    min_characters: int,
    options: Sequence[str],
) -> Decisions:
    """Run the job on a work list and read what it wrote."""
    work_url, results_url = str(folder / "work.jsonl"), str(folder / "results.jsonl")
    write_work_list(work_url, work)
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions(list(options)))
    job = Deduplicate(settings, languages, min_characters)
    write_results(read_work_list(pipeline, work_url) | "Deduplicate" >> job, results_url)
    run = pipeline.run()
    run.wait_until_finish()
    counters = run.metrics().query()["counters"]
    shuffled = sum(c.committed for c in counters if c.key.metric.name == "shuffled_bytes")
    return _collect(work, read_results(results_url), shuffled)


def _collect(work: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]], shuffled: int) -> Decisions:
    rows, clusters, counts = {}, {}, {}
    for item in work:
        table = read_table(item["output"]).to_pydict()
        assert table["id"] == read_table(item["documents"], ["id"]).column("id").to_pylist()
        values = zip(table["reason"], table["representative"], table["jaccard"], strict=True)
        rows.update(zip(table["id"], values, strict=True))
        clusters.update(zip(table["id"], zip(table["cluster"], table["cluster_stays"], strict=True), strict=True))
    for result in results:
        if "counts" in result:
            total = counts.setdefault(result["source"], {})
            for name, number in result["counts"].items():
                total[name] = total.get(name, 0) + number
    statistics = {r["statistic"]: r["number"] for r in results if "statistic" in r}
    digests = {r["file"]["path"]: r["file"]["sha256"] for r in results if "file" in r}
    return Decisions(rows, clusters, counts, statistics, digests, shuffled)
