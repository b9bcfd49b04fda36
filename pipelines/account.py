"""Account: follow documents, bytes and tokens through all decisions, apart from the jobs that made them.

Each job counted its own documents. Here every decision table is read once more, row by row, and what a job left must be
what the next one decided on: a row decided twice, or not at all, is an imbalance and fails the run.

In: documents and all decisions. Out: `account.json` (docs/formats.md, "Ledger"). Alone: `python -m pipelines.account
--config FILE --store DIR`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.corpus import Corpus
from pipelines.documents import CHOICES, read_batches
from pipelines.engine import read_results, read_work_list, write_results, write_work_list
from pipelines.job_progress import report
from pipelines.store.files import read_json, write_bytes
from pipelines.store.hashing import canonical_json
from pipelines.store.ledger import LedgerImbalanceError, build_ledger
from pipelines.store.stages import FinishedStage, StageKey, StoredFile

ACCOUNT_FILE = "account.json"
VERDICTS = {
    "deduplicate": "reason",
    "holdout": "split",
    "decontaminate": "split",
    **{job: column for job, (column, _) in CHOICES.items()},
}
"""The column that holds each job's verdict, in the order of the jobs."""

SPANS = "contaminated_spans"
OUT = "out"


class _CountShard(beam.DoFn):
    """Counts one document shard: yields {source, counts: [[job, measure, outcome, number]]}."""

    def __init__(self, jobs: list[str]) -> None:
        self._jobs = jobs

    def process(self, work: dict[str, Any]) -> Iterable[dict[str, Any]]:
        """Stream the shard with its decisions."""
        counts: Counter[tuple[str, str, str]] = Counter()
        decisions: dict[str, tuple[str, tuple[str, ...]]] = {
            job: (work["decisions"][job], (VERDICTS[job],)) for job in self._jobs
        }
        if "decontaminate" in self._jobs:
            decisions["decontaminate"] = (work["decisions"]["decontaminate"], ("split", "text_bytes"))
        decisions["tokenize"] = (work["decisions"]["tokenize"], ("count",))
        for batch in read_batches(work["documents"], ("text_bytes",), decisions):
            measures = {
                "documents": np.ones(len(batch["id"]), np.int64),
                "bytes": batch["text_bytes"].to_numpy(),
                "tokens": batch["tokenize.count"].fill_null(0).to_numpy().astype(np.int64),
            }
            for job in self._jobs:
                if job == "decontaminate":
                    whole, left = measures["bytes"], batch["decontaminate.text_bytes"].fill_null(0).to_numpy()
                    measures["bytes"] = left
                for outcome, rows in _outcomes(job, batch[f"{job}.{VERDICTS[job]}"]):
                    for measure, numbers in measures.items():
                        counts[job, measure, outcome] += int(numbers[rows].sum())
                    if job == "decontaminate" and (cut := int((whole - left)[rows].sum())):
                        counts[job, "bytes", SPANS] += cut
            report(len(batch["id"]))
        yield {"source": work["source"], "counts": [[*key, number] for key, number in sorted(counts.items())]}


def _outcomes(job: str, verdicts: pa.Array) -> Iterable[tuple[str, np.ndarray]]:
    """Yield each outcome of a job, `out` or the reason of a drop, with the mask of its rows."""
    if job == "deduplicate":
        verdicts = verdicts.fill_null(OUT)
    elif job in ("holdout", "decontaminate"):
        if job == "decontaminate":  # it repeats the split of what is not trained on
            taken = pc.match_substring_regex(verdicts, "^(train$|contaminated)")
            verdicts = pc.if_else(taken, verdicts, None)
        verdicts = pc.replace_substring_regex(verdicts, "^train$", OUT)
    else:
        verdicts = pc.if_else(verdicts, OUT, CHOICES[job][1])
    for outcome in pc.unique(verdicts.drop_null()).to_pylist():
        yield outcome, pc.equal(verdicts, outcome).fill_null(False).to_numpy(zero_copy_only=False)


def run(corpus: Corpus) -> FinishedStage:
    """Run the stage, or return it if it is finished.

    Raises:
        LedgerImbalanceError: when a job did not decide on exactly what the job before it left.
    """
    jobs = [job for job in VERDICTS if job in corpus.decisions]
    key = StageKey("account", {"jobs": jobs}, corpus.inputs(*jobs, "tokenize"), ("pipelines.account",), ("pyarrow",))
    done = corpus.store.finished(key)
    if done is not None:
        return done
    stage = corpus.store.begin(key)
    work_url, results_url = stage.path("work.jsonl"), stage.path("results.jsonl")
    write_work_list(work_url, corpus.work([*jobs, "tokenize"], None))

    def build(pipeline: beam.Pipeline) -> None:
        work = read_work_list(pipeline, work_url)
        write_results(work | "Count" >> beam.ParDo(_CountShard(jobs)), results_url)

    corpus.engine.run(key.stage, build, corpus.document_count(), "documents")
    account = summarize(read_results(results_url), jobs)
    scored = set(corpus.config.quality.scored) if corpus.config.quality else set()
    for source, entry in account.items():
        chosen = corpus.config.sources[source].component in scored
        taken = [job for job in jobs if chosen or job not in CHOICES]
        check(source, entry, taken, corpus.documents[source].ledger[source]["documents"]["out"])
    digest = write_bytes(stage.path(ACCOUNT_FILE), canonical_json(account) + b"\n")
    return stage.finish([StoredFile.of(ACCOUNT_FILE, digest)])


def summarize(results: list[dict[str, Any]], jobs: list[str]) -> dict[str, Any]:
    """Add the shards' counts up into {source: {job: {measure: {in, out, dropped}}}}."""
    counts: list[dict[tuple[str, ...], int]] = [
        {(result["source"], job, measure, outcome): number for job, measure, outcome, number in result["counts"]}
        for result in results
    ]
    totals = build_ledger(counts)
    account: dict[str, Any] = {}
    for source in sorted({result["source"] for result in results}):
        account[source] = {}
        for job in jobs:
            measured = totals.get(source, {}).get(job, {})
            account[source][job] = {
                measure: _balance(measured.get(measure, {}))
                for measure in ("documents", "bytes", "tokens")
                if (job, measure) != ("deduplicate", "tokens")
            }
    return account


def _balance(outcomes: Mapping[str, int]) -> dict[str, Any]:
    dropped = {outcome: number for outcome, number in outcomes.items() if outcome != OUT}
    return {"in": sum(outcomes.values()), "out": outcomes.get(OUT, 0), "dropped": dropped}


def check(source: str, entry: Mapping[str, Any], jobs: Iterable[str], extracted: int) -> None:
    """Check that each job decided on exactly the documents, bytes and tokens that it was sent.

    Args:
        source: name of the source, for the error.
        entry: its part of the account.
        jobs: that decide on it; CHOICES all take what the job before them leaves.
        extracted: documents that extraction wrote.
    """
    sent: dict[str, int] = {"documents": extracted}
    for job in jobs:
        for measure, number in sent.items():
            if entry[job][measure]["in"] != number:
                raise LedgerImbalanceError(
                    f"{job}, source {source}: {number} {measure} were sent, {entry[job][measure]['in']} were decided "
                    "on; this is a defect of the stage: please report it with the configuration"
                )
        if job not in CHOICES:
            sent = {measure: balance["out"] for measure, balance in entry[job].items()}


def read_account(stage: FinishedStage) -> dict[str, Any]:
    """Return what a finished stage counted."""
    return dict(read_json(stage.urls(ACCOUNT_FILE)[0]))


if __name__ == "__main__":
    from pipelines.job import main

    main("account")
