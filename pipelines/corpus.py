"""The corpus while it is built: document shards, the decisions made so far, and the work lists made of them.

One item of a work list is one document shard with the decision shards beside it: {"source", "component", "address",
"documents", "decisions": {job: url}, "output", "output_path"}. `address` is a small integer that names (source,
shard) when something has to be sent there.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import apache_beam as beam
import pyarrow as pa

from pipelines.config import CorpusConfig
from pipelines.documents import DECISION_SCHEMAS, TableWriter, read_batches
from pipelines.engine import Engine, read_results, read_work_list, write_results, write_work_list
from pipelines.job_progress import report
from pipelines.store.hashing import part_name
from pipelines.store.ledger import build_ledger, check_documents
from pipelines.store.stages import FinishedStage, OpenStage, StageKey, Store, StoredFile

ADDRESS_SHARDS = 1 << 16
"""Addresses of one source: more than it may have shards."""


@dataclass(frozen=True)
class Corpus:
    """Configuration, store, engine, the document shards of each source and the decision stages so far.

    `rehash`: input files are read for their hashes even if the store remembers them.
    """

    config: CorpusConfig
    store: Store
    engine: Engine
    documents: Mapping[str, FinishedStage] = field(default_factory=dict)
    decisions: Mapping[str, FinishedStage] = field(default_factory=dict)
    rehash: bool = False

    def with_decision(self, stage: FinishedStage) -> Corpus:
        """Return the corpus with one more decision."""
        return replace(self, decisions={**self.decisions, stage.stage: stage})

    def with_training(self, stage: FinishedStage) -> Corpus:
        """Return the corpus with `training` for this decision: its column `split` says what is trained on, and its
        column `spans`, where it has one, which parts are not.
        """
        return replace(self, decisions={**self.decisions, "training": stage})

    def removes(self) -> bool:
        """Tell whether decontamination was asked to remove something."""
        settings = self.config.decontaminate
        return settings is not None and settings.remove != "nothing"

    @property
    def training_columns(self) -> tuple[str, ...]:
        """The columns of `training` to read for texts that are trained on."""
        cuts = self.decisions["training"].manifest["recipe"].get("remove") == "spans"
        return ("split", "spans") if cuts else ("split",)

    def sources_of(self, component: str) -> list[str]:
        """Return the sources of a component that have files, in order of name."""
        return [name for name in sorted(self.documents) if self.config.sources[name].component == component]

    def inputs(self, *jobs: str, sources: Iterable[str] | None = None) -> dict[str, str]:
        """Return the inputs of a stage that reads documents and these decisions: name to `output_id`."""
        chosen = sorted(self.documents if sources is None else sources)
        return {f"documents/{name}": self.documents[name].output_id for name in chosen} | {
            job: self.decisions[job].output_id for job in jobs
        }

    def work(
        self, jobs: Iterable[str], output: OpenStage | None, sources: Iterable[str] | None = None
    ) -> list[dict[str, Any]]:
        """Return one item for each document shard of `sources` (all by default), with the decisions of `jobs`."""
        chosen = set(self.documents if sources is None else sources)
        shards = self.config.extract.shards
        items = []
        for index, source in enumerate(sorted(self.documents)):
            if source not in chosen:
                continue
            for shard in range(shards):
                name = f"{source}/{part_name(shard, shards, '.parquet')}"
                stage = self.documents[source]
                item = {
                    "source": source,
                    "component": self.config.sources[source].component,
                    "address": index * ADDRESS_SHARDS + shard,
                    "documents": f"{stage.url}/documents/{name}",
                    "decisions": {job: f"{self.decisions[job].url}/decisions/{name}" for job in jobs},
                }
                if output is not None:
                    item |= {"output_path": f"decisions/{name}", "output": output.path("decisions", name)}
                items.append(item)
        return items

    def document_count(self, sources: Iterable[str] | None = None) -> int:
        """Return the number of documents of `sources` (all by default)."""
        chosen = self.documents if sources is None else sources
        return sum(self.documents[name].rows("documents/") for name in chosen)


class DecideShard(beam.DoFn):
    """Base of jobs that decide on each document by itself: reads a shard, writes the decision shard, yields what it
    counted.

    A subclass names its `job`, the document `columns` and `decision_columns` {job: columns} that it reads, and
    implements `decide`.
    """

    job: str
    columns: tuple[str, ...] = ()
    decision_columns: Mapping[str, tuple[str, ...]] = {}

    def begin(self, work: dict[str, Any]) -> None:
        """Prepare for a shard."""
        self.work = work

    def figures(self) -> dict[str, Any]:
        """Return what the job has to tell of the shard beyond counts; it is added to the shard's result."""
        return {}

    @abstractmethod
    def decide(self, batch: dict[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
        """Return the decision columns (without `id`) and counts {reason or `in`/`out`: n} of a batch."""

    def process(self, work: dict[str, Any]) -> Iterable[dict[str, Any]]:
        """Write one decision shard, a row group at a time."""
        self.begin(work)
        schema, counts = DECISION_SCHEMAS[self.job], {"in": 0, "out": 0}
        decisions = {job: (work["decisions"][job], names) for job, names in self.decision_columns.items()}
        with TableWriter(work["output"], schema) as writer:
            for batch in read_batches(work["documents"], self.columns, decisions):
                columns, counted = self.decide(batch)
                arrays = [batch["id"], *(pa.array(columns[name], schema.field(name).type) for name in schema.names[1:])]
                writer.write(pa.record_batch(arrays, schema=schema))
                for reason, number in counted.items():
                    counts[reason] = counts.get(reason, 0) + number
                report(len(batch["id"]))
        yield _written(work, writer, counts) | self.figures()


def write_decision(work: Mapping[str, Any], table: pa.Table, counts: Mapping[str, int]) -> dict[str, Any]:
    """Write a decision shard and return the result that goes to the driver."""
    with TableWriter(work["output"], table.schema) as writer:
        writer.write_table(table)
    return _written(work, writer, counts)


def _written(work: Mapping[str, Any], writer: TableWriter, counts: Mapping[str, int]) -> dict[str, Any]:
    file = StoredFile.of(work["output_path"], writer.digest, rows=writer.rows)
    return {"source": work["source"], "file": file.to_json(), "counts": dict(counts)}


def run_decision_stage(
    corpus: Corpus,
    key: StageKey,
    build: Any,
    *,
    jobs: Iterable[str],
    summarize: Any = None,
    more_files: Iterable[StoredFile] = (),
) -> FinishedStage:
    """Run a decision job as a stage, unless it is finished already.

    Args:
        corpus: what there is so far.
        key: the stage's key; its name is the job's.
        build: called with the PCollection of work items, returns the PCollection of `write_decision` results.
        jobs: earlier decisions that the work items name.
        summarize: called with the results, returns the stage's summary.
        more_files: written for the stage before.
    """
    done = corpus.store.finished(key)
    if done is not None:
        return done
    stage = corpus.store.begin(key)
    work_url, results_url = stage.path("work.jsonl"), stage.path("results.jsonl")
    write_work_list(work_url, corpus.work(jobs, stage))

    def pipeline(p: beam.Pipeline) -> None:
        write_results(build(read_work_list(p, work_url)), results_url)

    corpus.engine.run(key.stage, pipeline, corpus.document_count(), "documents")
    results = read_results(results_url)
    ledger = decision_ledger(results)
    check_documents(key.stage, ledger)
    files = [StoredFile(**file) for result in results for file in (result["file"], *result.get("more_files", ()))]
    return stage.finish([*files, *more_files], ledger=ledger, summary=summarize(results) if summarize else None)


def decision_ledger(results: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the ledger {source: {documents: {in, out, dropped}}} of a job's results."""
    counts = []
    for result in results:
        source, part = result["source"], {}
        for reason, number in result["counts"].items():
            if number or reason in ("in", "out"):
                path = ("documents", reason) if reason in ("in", "out") else ("documents", "dropped", reason)
                part[(source, *path)] = number
        counts.append(part)
    ledger = build_ledger(counts)
    for entry in ledger.values():
        entry["documents"].setdefault("dropped", {})
    return ledger
