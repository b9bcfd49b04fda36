"""`glam trace`: which documents stand in a batch of a run, or in a record of a version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from glam.options import DEFAULT_STORE, JsonOption, StoreOption, show
from pipelines.store.errors import GlamError


def trace(
    reference: Annotated[
        str, typer.Argument(metavar="RUN|ID", help="Folder of a run or its id in the store; with --shard, a version.")
    ],
    step: Annotated[int | None, typer.Option("--step", help="Number of an update, from 1 (metrics.jsonl).")] = None,
    shard: Annotated[
        str | None, typer.Option("--shard", help="Path of a shard in the version: train/web/part-….tfrecord.")
    ] = None,
    record: Annotated[int | None, typer.Option("--record", help="Number of a record in the shard, from 0.")] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Tell which documents are in the batch of an update of a run, with URLs, scores and components; or in a record.

    Roll-backs count: it is the batch that the run's final weights learned from at that update.

    Example: glam trace runs/first --step 100 --store store
    """
    if (step is None) == (shard is None or record is None):
        raise GlamError("give RUN and --step N, or the ID of a version with --shard S and --record R")
    if step is not None:
        answer = trace_run(reference, step, store)
    else:
        answer = trace_record(reference, str(shard), int(record or 0), store)
    if as_json:
        show(answer)
    else:
        _print(answer)


def trace_run(reference: str, step: int, store: str) -> dict[str, Any]:
    """Return what `glam trace RUN --step N --json` prints."""
    from pipelines.lookup import VersionDocuments
    from pipelines.packed_documents import describe_records
    from pipelines.store.versions import find_version
    from trainer.run_folder import find_run, read_run
    from trainer.trace import trace_step

    run_dir = find_run(reference, store)
    run = read_run(run_dir)
    version = find_version(store, run["version"]["id"])
    traced = trace_step(run_dir, run, version, step)
    records = describe_records(VersionDocuments(store, version), [(row.shard, row.record) for row in traced.rows])
    rows = [{**row._asdict(), "documents": found} for row, found in zip(traced.rows, records, strict=True)]
    facts = {"run": run_dir, "step": step, "batch": traced.batch, "passed_over": traced.passed_over}
    return {"version": version.id, **facts, "rows": rows}


def trace_record(reference: str, shard: str, record: int, store: str) -> dict[str, Any]:
    """Return what `glam trace ID --shard S --record R --json` prints."""
    from pipelines.lookup import VersionDocuments
    from pipelines.packed_documents import describe_records
    from pipelines.store.versions import find_version

    version = find_version(store, reference)
    (found,) = describe_records(VersionDocuments(store, version), [(shard, record)])
    row = {"component": None, "shard": shard, "record": record, "documents": found}
    return {"version": version.id, "run": None, "step": None, "batch": None, "passed_over": [], "rows": [row]}


def _print(answer: Mapping[str, Any]) -> None:
    if answer["run"]:
        print(f"{answer['run']}: update {answer['step']} reads batch {answer['batch']} of version {answer['version']}")
        if undone := answer["passed_over"]:
            print(f"before roll-backs, updates of this number read batch {', '.join(map(str, undone))}; that is undone")
    for number, row in enumerate(answer["rows"]):
        place = f"{row['shard']} record {row['record']}"
        print(f"row {number}: {row['component']}, {place}" if answer["run"] else place)
        for document in row["documents"]:
            score = "" if document["score"] is None else f"  score {document['score'] / 65536:.4f}"
            name = document["url"] or document["native_key"] or document["title"] or ""
            print(f"  {document['tokens']:>5} tokens  {document['id']}  {document['source']}  {name}{score}".rstrip())
