"""A process that trains and scores runs, one after the other: `python -m trainer.ablation.worker CORE`, or `gpu`
in place of the core.

In, on stdin: one JSON object a line, {"run_dir", "version", "config", "seed", "score"}: `version` is the folder of a
dataset version, `score` whether to score its held-out text. Out, on stdout: one JSON object a line, {"tokens": n} as a
training goes on, {"done": run_dir} at its end. The process ends with its stdin, and with its first error, which
it leaves on stderr.

Runs of equal shapes share their compiled programs, so a process compiles once however many runs it does.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import IO, Any

from pipelines.store.errors import GlamError
from pipelines.store.files import exists, join, write_json
from pipelines.store.stages import read_manifest
from pipelines.store.versions import Version
from trainer.ablation.run_record import EVALUATION_FILE
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


def work(job: dict[str, Any], messages: IO[str]) -> None:
    """Train and score a run, or go on with it; does nothing twice."""
    version = Version(job["version"], read_manifest(job["version"], "version"))
    config = TrainingConfig.model_validate(job["config"])
    from trainer.loop import train  # after what can be refused at once: JAX takes seconds to import

    tokens = config.training.batch_rows * version.sequence_length

    def on_step(done: int, _steps: int, _record: dict[str, Any]) -> None:
        tell(messages, {"tokens": done * tokens})

    train(version, config, job["run_dir"], seed=job["seed"], on_step=on_step)
    if job["score"]:
        score(job["run_dir"], version, config)
    tell(messages, {"done": job["run_dir"]})


def score(run_dir: str, version: Version, config: TrainingConfig) -> None:
    """Score a run's held-out documents, and note what that took; a run that was scored keeps its note."""
    from trainer.evaluation.bits_per_byte import evaluate

    note = join(run_dir, EVALUATION_FILE)
    started, cpu_started = time.monotonic(), time.process_time()
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
    }
    write_json(note, figures)


def main() -> int:
    """Do the runs that stdin names."""
    if sys.argv[1] != "gpu":
        pin_to_core(int(sys.argv[1]))
    messages = keep_stdout_for_messages()
    try:
        for line in sys.stdin:
            work(json.loads(line), messages)
    except GlamError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the study was stopped: the run goes on from its checkpoint another time
        os.dup2(os.open(os.devnull, os.O_WRONLY), messages.fileno())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
