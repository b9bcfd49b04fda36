"""Processes that are killed at any point, and two builds at once."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from tests.faults.processes import DEADLINE_SECONDS, Limits, Run, release, start, wait
from tests.faults.workplace import Row, Scenario, Workplace, build, bytes_of, require, require_told

ROOT = Path(__file__).resolve().parents[2]
STAGES = (
    "extract",
    "deduplicate",
    "holdout",
    "evaluation_ngrams",
    "decontaminate",
    "tokenizer",
    "tokenize",
    "classifier",
    "quality",
    "sample",
    "subset",
    "tabulate",
    "account",
    "pack",
    "pack_heldout",
)
"""The stages in the order in which a build makes them."""
PLACES = {
    **{f"in {stage}": rf"/stages/{stage}/[0-9a-f]+/(?!manifest|work|results)" for stage in STAGES},
    "before the manifest of pack_heldout": r"/stages/pack_heldout/[0-9a-f]+/manifest\.json$",
    "in mix": r"/versions/[0-9a-f]+/train/",
    "before the manifest of a version": r"/versions/[0-9a-f]+/manifest\.json$",
}
"""Where a build is killed: a file of that path is complete and has not got its name yet."""
CONNECTIONS = 4


def killed(place: Workplace) -> dict[str, Row]:
    """Kill one build after the other, each at a later place of the same store; the last one ends."""
    store = place.room("killed") / "store"
    undisturbed = place.full.undisturbed
    made = {path.name for path in (place.full.store / "stages").iterdir()}
    require(made == set(STAGES), f"a build makes {sorted(made)}, not the stages where it is to be killed")
    rows, done = {}, 0
    for name, pattern in PLACES.items():
        run = build(place.full.config, store, limits=Limits(kill_at=pattern))
        require(run.exit_code == -signal.SIGKILL, f"{name}: not killed, exit code {run.exit_code}: {run.stderr}")
        found = len(re.findall("found, not computed again", run.stderr))
        require(found >= done, f"{name}: {found} stages were found, {done} before")
        done = found
        rows[name] = (f"{done} finished stages found again", run)
    same = bytes_of(build(place.full.config, store)) == undisturbed
    injected = "kill -9 when a file is written and not yet named"
    return {
        name: Row(f"kill -9 of the driver {name}", injected, happened, run.exit_code, run.message, same)
        for name, (happened, run) in rows.items()
    }


def worker_killed(place: Workplace) -> Row:
    """A worker process of Beam's multi-processing runner is killed at work."""
    room = place.room("worker killed")
    command = [sys.executable, "-m", "pipelines.extract", "--config", str(place.plain.config)]
    command += ["--store", str(room / "store"), "--direct_num_workers=2"]
    with (room / "stderr").open("w") as stderr:
        driver = subprocess.Popen(command, cwd=ROOT, stderr=stderr, stdout=stderr)
    try:
        worker = _connected_worker(driver, room / "stderr")
        os.kill(worker, signal.SIGKILL)
        exit_code = driver.wait(DEADLINE_SECONDS)
    finally:
        driver.kill()
    run = Run(exit_code, (room / "stderr").read_text(), None, None)
    require_told(run, 1, "error: extract: a worker process was ended by SIGKILL", "run the same command again")
    require(not _descendants(driver.pid), "a worker lives on")
    require(not list(room.glob("store/stages/*/*/manifest.json")), "a stage was finished")
    same = bytes_of(build(place.plain.config, room / "store")) == place.plain.undisturbed
    happened = "the job ends, no manifest, the other worker ends too"
    return Row("kill -9 of a worker process", "one of two workers, in extraction", happened, 1, run.message, same)


def _sockets(process: int) -> int:
    """Count the sockets that a process has open."""
    count = 0
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                count += str(descriptor.readlink()).startswith("socket:")
    return count


def _connected_worker(driver: subprocess.Popen[bytes], stderr: Path) -> int:
    """Wait until a worker has its connections, for control, state, data and logs; return its process id."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline and driver.poll() is None:
        for worker in _descendants(driver.pid):
            if _sockets(worker) >= CONNECTIONS:
                return worker
        time.sleep(0.02)
    raise TimeoutError(f"no worker came up: {stderr.read_text()}")


def _descendants(pid: int) -> dict[int, str]:
    """Return the commands of the living processes below one by process id."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if parent == pid:
            found |= {int(folder.name): command} | _descendants(int(folder.name))
    return found


def two_builds(place: Workplace) -> Row:
    """The same build twice at the same time in one store."""
    store = place.room("two builds") / "store"
    limits = Limits(hold_at=r"/stages/extract/[0-9a-f]+/manifest\.json$")
    started = [start("build", place.plain.config, "--store", store, "--json", limits=limits) for _ in range(2)]
    release([process for process, _ in started])
    one, other = (wait(*each) for each in started)
    for run in (one, other):
        require_told(run, 0)
    same = bytes_of(one) == bytes_of(other) == place.plain.undisturbed
    assert one.answer is not None
    assert other.answer is not None
    computed = [run.answer["stages"]["computed"] for run in (one, other)]
    stages = computed[0] + one.answer["stages"]["reused"]
    require(min(computed) >= 1 and sum(computed) > stages, f"one waited for the other: {computed} of {stages} stages")
    happened = f"both end well; they computed {computed[0]} and {computed[1]} stages"
    return Row(
        "two builds at once",
        "the same configuration and store; both held before the first manifest",
        happened,
        0,
        "",
        same,
    )


def _one(name: str, place: Workplace) -> Row:
    return place.group("killed", killed, name)


SCENARIOS: dict[str, Scenario] = {
    **{f"kill -9 of the driver {name}": partial(_one, name) for name in PLACES},
    "kill -9 of a worker process": worker_killed,
    "two builds at once": two_builds,
}
