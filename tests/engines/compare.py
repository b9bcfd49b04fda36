"""The same corpus on every engine and under every disturbance, and whether it came out the same, byte for byte.

    python -m tests.engines.compare [--only NAME ...] [--json]       (make flink-test: all of them)

The corpus is the small one of the tests (tests/pipelines/small_corpus.py): pages, plays and news, every job there is,
three dataset versions. Each row is a build into a store of its own; it is compared with the first by version ids and by
the sha256 of every file. Exit code: 0 where all rows are the same, else 1.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engines.flink.artefacts import fetch
from engines.flink.cluster import ADDRESS, ROOT, Cluster, free_ports, listens
from pipelines.build import build
from pipelines.config import load_corpus_config
from pipelines.progress import SilentDisplay
from pipelines.store.errors import GlamError, errors_told
from tests.pipelines.building import bytes_of
from tests.pipelines.small_corpus import write_corpus

PAGES = 60
KILLED_IN_JOB = 3
"""The first job, from 1, of a build during which a TaskManager may be killed."""


@dataclass
class Row:
    """One build.

    Attributes:
        name: engine and disturbance.
        seconds: of wall clock.
        versions: id by name.
        files: files of all versions.
        same: whether ids and every file's sha256 are those of the first row.
        note: what happened besides.
    """

    name: str
    seconds: float
    versions: dict[str, str]
    files: int
    same: bool = True
    note: str = ""


class SeenProgress(SilentDisplay):
    """Counts jobs, and those of which anything was told while they ran."""

    def __init__(self) -> None:
        self.jobs = self.moved = 0
        self._told = False

    def move(self, done: float, detail: str = "") -> None:
        """A job tells how far it is."""
        self._told = self._told or bool(done or detail)

    def finish(self) -> None:
        """A job ended."""
        self.jobs, self.moved, self._told = self.jobs + 1, self.moved + self._told, False


@dataclass
class Comparison:
    """Builds corpora in a folder and compares them with the first.

    Attributes:
        folder: of input and stores.
        rows: so far.
    """

    folder: Path
    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._plain = write_corpus(self.folder / "plain", pages=PAGES)
        self._split = write_corpus(self.folder / "split", names="hgfedcba", warc_files=5, pages=PAGES)
        self._expected: dict[str, tuple[str, dict[str, str]]] = {}

    def build(self, name: str, *options: str, split: bool = False, note: Callable[[], str] = lambda: "") -> Row:
        """Build with Beam's options; `split`: the same documents in other files, in reversed order."""
        started = time.monotonic()
        config = load_corpus_config(str(self._split if split else self._plain))
        seen = SeenProgress()
        made = bytes_of(build(config, str(self.folder / f"store-{len(self.rows)}"), options, seen))
        self._expected = self._expected or made
        ids, files = {key: value[0] for key, value in made.items()}, sum(len(value[1]) for value in made.values())
        told = f"{seen.moved} of {seen.jobs} jobs told how far they were"
        notes = "; ".join(filter(None, (note(), told)))
        row = Row(name, time.monotonic() - started, ids, files, made == self._expected, notes)
        print(f"{name}: {'the same' if row.same else 'NOT THE SAME'}, {row.seconds:.0f} s", file=sys.stderr, flush=True)
        self.rows.append(row)
        return row


def on_this_machine(comparison: Comparison) -> None:
    """Beam's own runner in this process and in two; input split and ordered otherwise."""
    comparison.build("FnApiRunner, one process")
    comparison.build("FnApiRunner, files split and ordered otherwise", split=True)
    comparison.build("FnApiRunner, two processes", "--direct_num_workers=2")


def on_job_service(comparison: Comparison) -> None:
    """Beam's portable job service, with a pool of workers that is not its child."""
    with worker_pool() as address:
        comparison.build(
            "portable job service, external worker pool",
            "--runner=PortableRunner",
            "--job_endpoint=embed",
            "--environment_type=EXTERNAL",
            f"--environment_config={address}",
        )


@contextlib.contextmanager
def worker_pool() -> Iterator[str]:
    """Return the address of a running pool of Beam's Python workers."""
    port = free_ports().jobs
    command = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # it starts `python`
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    ) as pool:
        try:
            while not listens(port):
                if pool.poll() is not None:
                    raise GlamError(f"Beam's worker pool ended with {pool.returncode} before it took connections")
                time.sleep(0.1)
            yield f"{ADDRESS}:{port}"
        finally:
            os.killpg(pool.pid, signal.SIGKILL)  # its workers too


def on_flink(comparison: Comparison) -> None:
    """A standalone Flink cluster; then once more with other files while one of its TaskManagers is killed."""
    cluster = Cluster(fetch(), comparison.folder / "flink")
    try:
        cluster.start()
        print(f"dashboard: {cluster.dashboard}", file=sys.stderr)
        comparison.build("Flink, two TaskManagers", *cluster.beam_options())
        murder = Murder(cluster, len(cluster.jobs()) + KILLED_IN_JOB)
        murder.start()
        name = "Flink, files split and ordered otherwise, a TaskManager killed (-9)"
        row = comparison.build(name, *cluster.beam_options(), split=True, note=murder.told)
        row.same = row.same and murder.restarts() > 0
    finally:
        cluster.stop()


class Murder(threading.Thread):
    """Kills a TaskManager in the middle of one of a cluster's jobs, from its n-th on."""

    def __init__(self, cluster: Cluster, job: int) -> None:
        super().__init__(daemon=True)
        self._cluster, self._first = cluster, job - 1
        self._killed: dict[str, Any] | None = None

    def run(self) -> None:
        """Wait for a job that has finished some of its tasks and is busy with others, and kill."""
        while self._killed is None:
            with contextlib.suppress(OSError):  # a busy JobManager answers late
                jobs = sorted(self._cluster.jobs(), key=lambda job: job["start-time"])
                middle = [job for job in jobs[self._first :] if job["tasks"]["finished"] and job["tasks"]["running"]]
                if middle:
                    self._cluster.kill_task_manager(1)
                    self._killed = middle[0]
            time.sleep(0.1)

    def restarts(self) -> int:
        """Return how often the job that was hit began again."""
        if self._killed is None:
            return 0
        return len(self._cluster.ask(f"/jobs/{self._killed['jid']}/exceptions")["exceptionHistory"]["entries"])

    def told(self) -> str:
        """Say what happened."""
        if self._killed is None:
            return "no TaskManager was killed: the jobs were too short"
        tasks = self._killed["tasks"]
        return f"killed with {tasks['finished']} of {tasks['total']} tasks done; restarts of the job: {self.restarts()}"


ENGINES = {"local": on_this_machine, "portable": on_job_service, "flink": on_flink}


def table(rows: list[Row]) -> str:
    """Return the rows as a table in Markdown."""
    lines = [
        "| engine and disturbance | version `filtered` | files | the same bytes | seconds | |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        same = "yes" if row.same else "**NO**"
        lines.append(
            f"| {row.name} | {row.versions['filtered']} | {row.files} | {same} | {row.seconds:.0f} | {row.note} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Build, compare, print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=ENGINES, default=list(ENGINES), help="of these engines")
    parser.add_argument("--json", action="store_true", help="one JSON list on the last line of stdout")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, errors_told():
        comparison = Comparison(Path(name))
        if "local" not in arguments.only:
            comparison.build("FnApiRunner, one process")
        for engine in arguments.only:
            ENGINES[engine](comparison)
    print(json.dumps([asdict(row) for row in comparison.rows]) if arguments.json else table(comparison.rows))
    return 0 if all(row.same for row in comparison.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
