"""Tabulate: which evaluation examples are dirty with respect to what a version trains on, as GPT-3 and GLaM do by task.

An example is dirty if one of its n-grams stands in a document of the version: one of the training split, not removed by
decontamination, and of the component's variant. Documents count whole, also where packing cuts their end off; those
whose matches were cut out have none left.

In: `decontaminate`'s matches, `training`, and `sample` or `subset` where a variant needs it. Out:
`contamination/TASK.parquet` (TASK_SCHEMA), a row for every example. It runs for each version that a build publishes.
Alone: `python -m pipelines.tabulate --config FILE --store DIR`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contamination.matching import task_of
from pipelines.contamination.results import SHOWN, TASK_SCHEMA, task_path
from pipelines.corpus import Corpus
from pipelines.documents import VARIANT_JOBS, read_table, write_parquet
from pipelines.engine import ReadOutputs, read_results, read_work_list, write_results, write_work_list
from pipelines.job_progress import report
from pipelines.store.stages import FinishedStage, StageKey, StoredFile

CHOSEN_BY = {"sample": "keep", "subset": "random"}
_PART_SCHEMA = pa.schema(
    [
        ("example", pa.int32()),
        ("found", pa.int64()),
        ("documents", pa.int64()),
        ("position", pa.int32()),
        TASK_SCHEMA.field("shown"),
    ]
)


class _GatherShard(beam.DoFn):
    """Yields (task, packed rows of _PART_SCHEMA) of a shard's matches, and documents by task tagged `documents`."""

    def __init__(self, variants: Mapping[str, str], tasks: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
        self._variants, self._tasks, self._columns = dict(variants), tasks, columns

    def process(self, work: dict[str, Any]) -> Iterable[Any]:
        """Read the shard's matches and the decisions on their documents."""
        matches = read_table(work["matches"])
        report(1)
        if not matches.num_rows:
            return
        chosen = self._chosen(work, matches.column("id").combine_chunks())
        tasks = task_of(self._tasks, matches.column("example").to_numpy())
        documents: dict[int, int] = {}
        for task in np.unique(tasks).tolist():
            mask = pa.array(tasks == task)
            rows, flags = matches.filter(mask), chosen[tasks == task]
            documents[task] = len(rows.filter(pa.array(flags)).column("id").unique())
            yield task, _packed(_by_example(rows.to_pylist(), flags.tolist(), work["source"]))
        yield beam.pvalue.TaggedOutput("documents", {"documents": {str(t): n for t, n in documents.items()}})

    def _chosen(self, work: dict[str, Any], ids: pa.Array) -> np.ndarray:
        """Tell of each of `ids` whether the version trains on it as it was compared."""
        table = read_table(work["decisions"]["training"], ["id", *self._columns])
        taken = pc.equal(table["split"], "train").fill_null(False)
        if "spans" in self._columns:
            taken = pc.and_(taken, table["spans"].is_null())
        variant = self._variants.get(work["component"])
        for job in VARIANT_JOBS.get(variant or "", ()):
            decision = read_table(work["decisions"][job], ["id", CHOSEN_BY[job]])
            taken = pc.and_(taken, decision[CHOSEN_BY[job]].fill_null(False))
        if variant is None:
            return np.zeros(len(ids), np.bool_)
        rows = pc.index_in(ids, value_set=table["id"].combine_chunks())
        return taken.take(rows).to_numpy(zero_copy_only=False)


def _by_example(rows: list[dict[str, Any]], flags: list[bool], source: str) -> list[dict[str, Any]]:
    """Return a row of _PART_SCHEMA for each example; documents shown are those of the least ids."""
    examples: dict[int, dict[str, Any]] = {}
    for row, flag in zip(rows, flags, strict=True):
        entry = examples.setdefault(row["example"], {"found": 0, "documents": 0, "position": None, "shown": []})
        entry["found"] += 1
        if flag:
            entry["documents"] += 1
            entry["position"] = _least(entry["position"], row["position"])
            if len(entry["shown"]) < SHOWN:  # rows come in order of id
                shown = {name: row[name] for name in ("id", "address", "position", "start", "end")}
                entry["shown"].append(shown | {"source": source})
    return [{"example": example, **entry} for example, entry in sorted(examples.items())]


def _least(a: int | None, b: int | None) -> int | None:
    return min((position for position in (a, b) if position is not None), default=None)


def _packed(rows: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, _PART_SCHEMA) as writer:
        writer.write_table(pa.Table.from_pylist(rows, _PART_SCHEMA))
    return sink.getvalue().to_pybytes()


class _WriteTask(beam.DoFn):
    """Writes the table of one task."""

    def __init__(self, examples_url: str) -> None:
        self._examples_url = examples_url

    def process(self, joined: tuple[int, dict[str, Any]]) -> Iterable[dict[str, Any]]:
        """Merge the shards' rows and put them beside the examples."""
        (output,) = joined[1]["output"]
        first, count = output["first"], output["examples"]
        words = read_table(self._examples_url, ["words"]).column("words").slice(first, count).to_pylist()
        found = _merged(pa.ipc.open_stream(block).read_all().to_pylist() for block in joined[1]["blocks"])
        clean: dict[str, Any] = {"found": 0, "documents": 0, "position": None, "shown": []}
        rows = []
        for example in range(count):
            entry = found.get(first + example, clean)
            length = min(words[example], output["n"])
            dirty = entry["documents"] > 0
            rows.append(entry | {"example": example, "words": words[example], "n": length, "dirty": dirty})
        digest = write_parquet(output["url"], pa.Table.from_pylist(rows, TASK_SCHEMA))
        yield {
            "task": output["task"],
            "file": StoredFile.of(output["path"], digest, rows=count).to_json(),
            "dirty": sum(row["dirty"] for row in rows),
            "found": sum(row["found"] > 0 for row in rows),
        }


def _merged(parts: Iterable[list[dict[str, Any]]]) -> dict[int, dict[str, Any]]:
    merged: dict[int, dict[str, Any]] = {}
    for part in parts:
        for row in part:
            entry = merged.setdefault(row["example"], {"found": 0, "documents": 0, "position": None, "shown": []})
            entry["found"] += row["found"]
            entry["documents"] += row["documents"]
            entry["position"] = _least(entry["position"], row["position"])
            entry["shown"] = sorted([*entry["shown"], *row["shown"]], key=lambda shown: shown["id"])[:SHOWN]
    return merged


def run(corpus: Corpus, ngrams: FinishedStage, name: str) -> FinishedStage:
    """Tabulate the contamination of the version `name`, unless that is finished."""
    config = corpus.config
    variants = {component: config.versions[name].get(component, "all") for component in sorted(config.mixture)}
    jobs = sorted({job for variant in variants.values() for job in VARIANT_JOBS[variant]})
    inputs = corpus.inputs("decontaminate", "training", *jobs) | {"evaluation_ngrams": ngrams.output_id}
    key = StageKey("tabulate", {"variants": variants}, inputs, ("pipelines.tabulate",), ("pyarrow",))
    done = corpus.store.finished(key)
    if done is not None:
        return done
    stage = corpus.store.begin(key)
    tasks = ngrams.summary["tasks"]
    work_url, outputs_url, results_url = (stage.path(f"{name}.jsonl") for name in ("work", "outputs", "results"))
    work = corpus.work(["decontaminate", "training", *jobs], None)
    for item in work:
        item["matches"] = item["decisions"].pop("decontaminate").replace("/decisions/", "/matches/")
    write_work_list(work_url, work)
    outputs = [{**task, "number": number, "path": task_path(task["task"])} for number, task in enumerate(tasks)]
    write_work_list(outputs_url, [output | {"url": stage.path(output["path"])} for output in outputs])
    gather = _GatherShard(variants, tasks, corpus.training_columns)
    write = _WriteTask(ngrams.urls("examples.parquet")[0])

    def pipeline(p: beam.Pipeline) -> None:
        gathered = read_work_list(p, work_url) | "Gather" >> beam.ParDo(gather).with_outputs("documents", main="blocks")
        targets = p | "Tasks" >> ReadOutputs(outputs_url)
        joined = {"blocks": gathered.blocks, "output": targets} | "Meet task" >> beam.CoGroupByKey()
        written = joined | "Write task" >> beam.ParDo(write)
        write_results((written, gathered.documents) | "All results" >> beam.Flatten(), results_url)

    corpus.engine.run(f"contamination of {name}", pipeline, len(work), "shards")
    results = read_results(results_url)
    files = [StoredFile(**result["file"]) for result in results if "file" in result]
    return stage.finish(files, summary={"tasks": _summary(tasks, results)})


def _summary(tasks: list[dict[str, Any]], results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return {task: {n, examples, without_words, dirty, found, documents}}."""
    documents: Counter[str] = Counter()
    written = {}
    for result in results:
        documents.update(result.get("documents", {}))
        if "task" in result:
            written[result["task"]] = {"dirty": result["dirty"], "found": result["found"]}
    return {
        task["task"]: {figure: task[figure] for figure in ("n", "examples", "without_words")}
        | written[task["task"]]
        | {"documents": documents[str(number)]}
        for number, task in enumerate(tasks)
    }


if __name__ == "__main__":
    from pipelines.job import main

    main("tabulate")
