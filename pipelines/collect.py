"""A keyed sample of training documents' texts, for the classifier and the tokenizer to learn from.

Of each source every shard gives the first documents in the order of a keyed hash, up to its part of the source's
quota; so the sample does not depend on workers or order, and no document is looked at twice. Only documents of the
`train` split are taken.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contamination.cuts import trained_texts
from pipelines.corpus import Corpus
from pipelines.documents import ID_TYPE, ids_of, read_batches, write_parquet
from pipelines.engine import read_results, read_work_list, write_results, write_work_list
from pipelines.folds import host_of
from pipelines.job_progress import report
from pipelines.store.hashing import KeyedHash
from pipelines.store.stages import OpenStage, StoredFile

SAMPLE_SCHEMA = pa.schema(
    [
        ("label", pa.string()),
        ("source", pa.string()),
        ("id", ID_TYPE),
        ("key", pa.uint64()),
        ("host", pa.string()),
        ("language", pa.string()),
        ("text", pa.large_string()),
    ]
)

_Taken = tuple[int, bytes, str | None, str, str]
"""Order, id, host, language and text of a document."""


@dataclass(frozen=True)
class Rule:
    """What to take of a source: documents of these hosts (none: all) under a label, until the quota is reached.

    Attributes:
        label: written beside the texts.
        hosts: registered names; a host stands for its subdomains too.
        quota: of the whole source, in `unit`.
        unit: `documents` or `bytes` (of UTF-8 text).
    """

    label: str
    hosts: tuple[str, ...]
    quota: int
    unit: str


def host_matches(url: str | None, hosts: tuple[str, ...]) -> bool:
    """Tell whether the url's host is one of `hosts` or below one; no hosts match every document."""
    if not hosts:
        return True
    host = host_of(url) or ""
    return any(host == name or host.endswith("." + name) for name in hosts)


class _CollectShard(beam.DoFn):
    """Yields one shard's part of the sample as packed Arrow batches, keyed by 0."""

    def __init__(
        self, corpus: Corpus, purpose: str, rules: dict[str, list[Rule]], max_characters: int, split: str
    ) -> None:
        self._seed, self._purpose, self._rules = corpus.config.seed, purpose, rules
        self._shards, self._columns = corpus.config.extract.shards, corpus.training_columns
        self._max_characters, self._split = max_characters, split

    def process(self, work: dict[str, Any]) -> Iterable[tuple[int, bytes]]:
        """Stream the shard; what is over the quota is forgotten after every batch."""
        draw = KeyedHash(self._seed, self._purpose)
        taken: dict[str, list[_Taken]] = {rule.label: [] for rule in self._rules[work["source"]]}
        decisions = {"training": (work["decisions"]["training"], self._columns)}
        for batch in read_batches(work["documents"], ("url", "language", "text"), decisions):
            splits, urls, texts = batch["training.split"].to_pylist(), batch["url"].to_pylist(), trained_texts(batch)
            for row, identifier in enumerate(map(bytes, ids_of(batch["id"]))):
                if splits[row] == self._split and (rule := self._rule(work["source"], urls[row])):
                    text = texts[row].as_py()[: self._max_characters]
                    language = batch["language"][row].as_py()
                    taken[rule.label].append((draw(identifier), identifier, host_of(urls[row]), language, text))
            for rule in self._rules[work["source"]]:
                taken[rule.label] = self._within_quota(taken[rule.label], rule)
            report(len(splits))
        rows = [
            (label, work["source"], identifier, key, host, language, text)
            for label, items in taken.items()
            for key, identifier, host, language, text in items
        ]
        yield 0, _pack(rows)

    def _rule(self, source: str, url: str | None) -> Rule | None:
        return next((rule for rule in self._rules[source] if host_matches(url, rule.hosts)), None)

    def _within_quota(self, items: list[_Taken], rule: Rule) -> list[_Taken]:
        items.sort(key=lambda item: item[:2])
        quota, kept = -(-rule.quota // self._shards), []
        for item in items:
            if quota <= 0:
                break
            kept.append(item)
            quota -= 1 if rule.unit == "documents" else len(item[-1].encode())
        return kept


def _pack(rows: list[tuple[Any, ...]]) -> bytes:
    table = pa.Table.from_pylist([dict(zip(SAMPLE_SCHEMA.names, row, strict=True)) for row in rows], SAMPLE_SCHEMA)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, SAMPLE_SCHEMA) as writer:
        writer.write_table(table)
    return sink.getvalue()


def cut_to_quotas(sample: pa.Table, quotas: Mapping[str, int]) -> pa.Table:
    """Keep of each label its first texts in the order given, `quotas` bytes of UTF-8 in all; the last text is cut.

    Labels without a quota stay whole. A cut never splits a character, so it may leave up to three bytes unused.
    """
    parts = []
    for label in pc.unique(sample.column("label")).to_pylist():
        part = sample.filter(pc.equal(sample.column("label"), label))
        if label in quotas:
            ends = np.cumsum(pc.binary_length(part.column("text").cast(pa.large_binary())).to_numpy())
            whole = int(np.searchsorted(ends, quotas[label], side="right"))
            left = quotas[label] - (int(ends[whole - 1]) if whole else 0)
            cut = part.slice(whole, 1).to_pylist()
            texts = [row["text"].encode()[:left].decode(errors="ignore") for row in cut]
            rows = [{**row, "text": text} for row, text in zip(cut, texts, strict=True) if text]
            part = pa.concat_tables([part.slice(0, whole), pa.Table.from_pylist(rows, SAMPLE_SCHEMA)])
        parts.append(part)
    return pa.concat_tables([SAMPLE_SCHEMA.empty_table(), *parts])


class _WriteSample(beam.DoFn):
    """Writes the whole sample, sorted by label, key and id and cut to the labels' quotas, as one Parquet file."""

    def __init__(self, url: str, path: str, quotas: Mapping[str, int]) -> None:
        self._url, self._path, self._quotas = url, path, dict(quotas)

    def process(self, keyed: tuple[int, Iterable[bytes]]) -> Iterable[dict[str, Any]]:
        """Write the file."""
        table = pa.concat_tables([pa.ipc.open_stream(block).read_all() for block in keyed[1]])
        order = [("label", "ascending"), ("key", "ascending"), ("id", "ascending")]
        table = cut_to_quotas(table.sort_by(order), self._quotas)
        digest = write_parquet(self._url, table)
        yield StoredFile.of(self._path, digest, rows=table.num_rows).to_json()


def collect_texts(
    corpus: Corpus,
    stage: OpenStage,
    purpose: str,
    rules: dict[str, list[Rule]],
    *,
    max_characters: int,
    split: str = "train",
    label_quotas: Mapping[str, int] | None = None,
) -> StoredFile:
    """Collect a sample of texts into `STAGE/SPLIT_sample.parquet` (schema SAMPLE_SCHEMA).

    Args:
        corpus: the corpus, with `training` decided.
        stage: where to write.
        purpose: of the keyed hash; also what progress calls the work.
        rules: what to take, by source; the first rule that fits a document counts.
        max_characters: longest piece taken of one document.
        split: of the decision `training`.
        label_quotas: the most bytes of a label over all its sources; then its texts are those that come first in the
            order of the keyed hash, whatever source they are from.
    """
    path = f"{split}_sample.parquet"
    work_url, results_url = stage.path(f"{split}_work.jsonl"), stage.path(f"{split}_results.jsonl")
    write_work_list(work_url, corpus.work(["training"], None, rules))
    collect = _CollectShard(corpus, purpose, rules, max_characters, split)
    write = _WriteSample(stage.path(path), path, label_quotas or {})

    def pipeline(p: beam.Pipeline) -> None:
        parts = read_work_list(p, work_url) | "Collect" >> beam.ParDo(collect)
        grouped = parts | "Gather sample" >> beam.GroupByKey()
        write_results(grouped | "Write sample" >> beam.ParDo(write), results_url)

    corpus.engine.run(f"{purpose} sample", pipeline, corpus.document_count(rules), "documents")
    (file,) = read_results(results_url)
    return StoredFile(**file)
