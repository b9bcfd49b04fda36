"""A process that trains and scores runs, one after the other: `python -m trainer.ablation.worker CORE`, or `gpu`
in place of the core.

In, on stdin: one JSON object a line, {"run_dir", "version", "config", "seed", "score", "expert_documents"}: `version`
is the folder of a dataset version, `score` whether to score its held-out text, `expert_documents` how many of a source
to read for the load of the experts; or a fine-tuning (`trainer.ablation.fine_tuning.jobs`). Out, on stdout: one JSON
object a line, {"tokens": n} as a training goes on, {"done": run_dir} at its end. The process ends with its stdin, and
with its first error, which it leaves on stderr.

Runs of equal shapes share their compiled programs, so a process compiles once however many runs it does.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import IO, Any

from pipelines.progress import SilentDisplay
from pipelines.store.errors import GlamError
from pipelines.store.files import exists, join, read_json, write_json
from pipelines.store.stages import read_manifest
from pipelines.store.versions import Version
from trainer.ablation.energy import Meter, train_metered
from trainer.ablation.run_record import DOMAINS_FILE, EVALUATION_FILE
from trainer.accounting import cost
from trainer.config import TrainingConfig


def pin_to_core(number: int) -> None:
    """Keep this process on one of the cores it may use, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[number % len(allowed)]})


def keep_stdout_for_messages() -> IO[str]:
    """Return a file that writes to the study, and let what libraries print go to stderr."""
    messages = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return messages


def tell(messages: IO[str], message: dict[str, Any]) -> None:
    """Send a message to the study."""
    print(json.dumps(message), file=messages, flush=True)


def work(job: dict[str, Any], messages: IO[str], gpu: bool) -> None:
    """Train and score a run, or go on with it; does nothing twice."""
    version = Version(job["version"], read_manifest(job["version"], "version"))
    config = TrainingConfig.model_validate(job["config"])
    from trainer.loop import train  # after what can be refused at once: JAX takes seconds to import

    tokens = config.training.batch_rows * version.sequence_length

    def on_step(done: int, _steps: int, _record: dict[str, Any]) -> None:
        tell(messages, {"tokens": done * tokens})

    run_dir = job["run_dir"]
    if "fine_tuning" in job:
        from trainer.ablation.fine_tuning.jobs import work_on_task

        work_on_task(job, version, on_step, gpu)
    else:
        train_metered(
            run_dir, gpu, on_step, lambda moved: train(version, config, run_dir, seed=job["seed"], on_step=moved)
        )
        if job["score"]:
            score(run_dir, version, config, gpu)
        if job["expert_documents"]:
            read_by_domain(run_dir, version, config, job["expert_documents"], gpu)
    tell(messages, {"done": job["run_dir"]})


def score(run_dir: str, version: Version, config: TrainingConfig, gpu: bool) -> None:
    """Score a run's held-out documents, and note what that took; a run that was scored keeps its note."""
    from trainer.evaluation.bits_per_byte import evaluate

    note = join(run_dir, EVALUATION_FILE)
    started, cpu_started = time.monotonic(), time.process_time()
    with Meter(gpu) as meter:
        scores = evaluate(run_dir, version)
    if exists(note):
        return
    tokens = sum(int(entry.tokens.sum()) for entry in scores.values())
    size = cost(config.model, version.vocabulary_size, version.sequence_length)
    figures = {
        "seconds": round(time.monotonic() - started, 3),
        "cpu_seconds": round(time.process_time() - cpu_started, 3),
        "tokens": tokens,
        "flops": tokens * size.forward_flops,
        "joules": meter.joules,
    }
    write_json(note, figures)


def read_by_domain(run_dir: str, version: Version, config: TrainingConfig, documents: int, gpu: bool) -> None:
    """Read some documents of every held-out source for the load of the experts by domain and quality, and add what that
    took to the note on the scores."""
    if exists(join(run_dir, DOMAINS_FILE)):
        return
    from trainer.evaluation.evaluate_domains import domain_report

    started, cpu_started = time.monotonic(), time.process_time()
    store_url = version.url.rsplit("/", 2)[0]
    with Meter(gpu) as meter:
        report = domain_report(run_dir, store_url, version, [], None, documents, SilentDisplay())
    buckets = [report["in_domain"] or {}, *report["out_of_domain"].values()]
    windows = report["context"] / report["stride"]  # times that a token is read
    tokens = round(windows * sum(bucket.get("tokens", 0) for bucket in buckets))
    note = read_json(join(run_dir, EVALUATION_FILE))
    known = None not in (note.get("joules"), meter.joules)
    size = cost(config.model, version.vocabulary_size, version.sequence_length)
    more = {
        "seconds": round(note["seconds"] + time.monotonic() - started, 3),
        "cpu_seconds": round(note["cpu_seconds"] + time.process_time() - cpu_started, 3),
        "tokens": note["tokens"] + tokens,
        "flops": note["flops"] + tokens * size.forward_flops,
        "joules": note["joules"] + meter.joules if known else None,
    }
    write_json(join(run_dir, EVALUATION_FILE), more)


def main() -> int:
    """Do the runs that stdin names."""
    gpu = sys.argv[1] == "gpu"
    if not gpu:
        pin_to_core(int(sys.argv[1]))
    messages = keep_stdout_for_messages()
    try:
        for line in sys.stdin:
            work(json.loads(line), messages, gpu)
    except GlamError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the study was stopped: the run goes on from its checkpoint another time
        os.dup2(os.open(os.devnull, os.O_WRONLY), messages.fileno())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
