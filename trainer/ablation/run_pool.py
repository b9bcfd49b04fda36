"""Runs side by side: worker processes, one a core, that take the next run as they finish the last.

In: jobs as `trainer.ablation.worker` reads them. Out: finished run folders. A run that was stopped goes on. When a
worker fails, the others are stopped and the error names the run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from typing import IO, Any

from pipelines.progress import Display
from pipelines.store.code_identity import ROOT
from pipelines.store.errors import GlamError
from pipelines.store.hashing import canonical_json

TAIL_CHARACTERS = 2000

Job = dict[str, Any]


class StudyError(GlamError):
    """A study cannot go on; the message names the run and what to do."""


def worker_environment(backend: str = "cpu") -> dict[str, str]:
    """Return the environment of a process that trains, on a CPU on one core, and finds this program's modules."""
    from trainer.huge_pages import with_huge_pages
    from trainer.loop import single_core_environment

    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    if backend == "gpu":
        return environment | {"JAX_PLATFORMS": "cuda"}
    return with_huge_pages(environment | single_core_environment())


def program(job: Job) -> bytes:
    """Return what the compiled program of a job depends on; jobs with the same share it within a process."""
    return canonical_json({name: job["config"][name] for name in ("model", "optimizer", "training")})


class _Worker:
    """A process and the thread that feeds it."""

    def __init__(self, number: int, pool: _Pool, backend: str) -> None:
        self._pool = pool
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `stop`
        command = [sys.executable, "-m", "trainer.ablation.worker", str(number) if backend == "cpu" else backend]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=worker_environment(backend),
            text=True,
            start_new_session=True,  # Ctrl-C reaches the study alone, which then stops its workers
        )
        self.thread = threading.Thread(target=self._feed, daemon=True)

    def _feed(self) -> None:
        job = None
        while (job := self._pool.next_job(job)) is not None:
            if not self._do(job):
                self._pool.fail(self._complaint(job))
                return
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _do(self, job: Job) -> bool:
        """Have the process do a job; False when it ended before."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(job) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return False
        for line in self.process.stdout:
            message = json.loads(line)
            if "done" in message:
                self._pool.finished(job)
                return True
            self._pool.moved(job, message["tokens"])
        return False

    def _complaint(self, job: Job) -> str:
        code = self.process.wait()
        self._errors.seek(0)
        tail = self._errors.read().decode(errors="replace")[-TAIL_CHARACTERS:].strip()
        how = f"was killed by signal {-code} (out of memory?)" if code < 0 else f"ended with exit status {code}"
        return (
            f"{job['run_dir']}: the process of this run (arm {job['arm']}, seed {job['seed']}) {how}; the same command "
            f"goes on from the last checkpoint. It said:\n{tail or '(nothing)'}"
        )

    def stop(self) -> None:
        """End the process, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.thread.is_alive():
            self.thread.join()  # it sees the end of the process's messages
        self._errors.close()


class _Pool:
    """Jobs to do, and how far they are."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._waiting = list(jobs)
        self._lock = threading.Lock()
        self._started: set[bytes] = set()
        self._tokens: dict[str, int] = {}
        self.done = 0
        self.complaint: str | None = None

    def next_job(self, previous: Job | None) -> Job | None:
        """Return a job that no worker has, or None.

        To compile as little as possible, a worker stays with the program of its previous job while there are such
        jobs, and then takes up one that no other worker has compiled.
        """
        with self._lock:
            if not self._waiting:
                return None
            same = None if previous is None else program(previous)
            job = min(self._waiting, key=lambda job: (program(job) != same, program(job) in self._started))
            self._waiting.remove(job)
            self._started.add(program(job))
            return job

    def moved(self, job: Job, tokens: int) -> None:
        """Note how many tokens of a run are trained."""
        with self._lock:
            self._tokens[job["run_dir"]] = tokens

    def finished(self, job: Job) -> None:
        """Note that a run is finished and scored."""
        with self._lock:
            self._tokens[job["run_dir"]] = job["tokens"]
            self.done += 1

    def fail(self, complaint: str) -> None:
        """Note that a worker failed; the first complaint counts."""
        with self._lock:
            self.complaint = self.complaint or complaint

    @property
    def tokens(self) -> int:
        """Tokens trained, of all runs."""
        with self._lock:
            return sum(self._tokens.values())


def train_side_by_side(jobs: Sequence[Job], workers: int, display: Display, backend: str = "cpu") -> None:
    """Train and score runs in `workers` processes.

    Args:
        jobs: {run_dir, arm, version, config, seed, tokens, score}.
        workers: processes; no more than there are jobs.
        display: shows tokens, rate and time left over all runs.
        backend: of JAX: `cpu`, or `gpu`, on which the processes are together.

    Raises:
        StudyError: when a process ends before its run does.
    """
    pool = _Pool(jobs)
    processes = [_Worker(number, pool, backend) for number in range(min(workers, len(jobs)))]
    display.start(f"train {len(jobs)} runs", sum(job["tokens"] for job in jobs), "tokens")
    try:
        for worker in processes:
            worker.thread.start()
        while pool.complaint is None and any(worker.thread.is_alive() for worker in processes):
            for worker in processes:
                worker.thread.join(0.1)
            display.move(pool.tokens, f"{pool.done} of {len(jobs)} runs finished")
    finally:
        for worker in processes:
            worker.stop()
        display.finish()
    if pool.complaint is not None:
        raise StudyError(pool.complaint)
    if pool.done != len(jobs):
        raise StudyError(
            f"{len(jobs) - pool.done} of {len(jobs)} runs were not done; the same command goes on with them"
        )
