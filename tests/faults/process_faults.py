"""Processes that are killed at any point, and two builds at once."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pipelines.store.hashing import KeyedHash
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
MARK = "GLAM_FAULTS_ROOM"
"""A variable by which the processes of a job are known."""
MOMENTS = 3
"""How often a build is killed at a random moment."""
KILL_SEED = 27
"""Gives moments before half of the work: nobody knows to the second how many CPU seconds a build will take."""
DIES_AT_WORK = """
import os, signal, sys

def die(event, arguments):
    if event == "os.rename" and "/stages/tokenize/" in str(arguments[1]) and "WORKER_ID" in os.environ:
        try:
            os.open({mark!r}, os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(die)
"""
"""What Python imports at its start: the first worker that has written a file of `tokenize`, and not yet named it, is
killed.
"""


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


def killed_at_random(place: Workplace) -> Row:
    """Kill one build after the other, each after a random share of the CPU seconds that are left to do; the last one
    ends.
    """
    undisturbed, store = place.full.undisturbed, place.room("killed at random") / "store"
    draw, shares, found = KeyedHash(KILL_SEED, "kill"), [], []
    for number in range(MOMENTS):
        left = sum(_cpu_seconds(place.full.store, store))
        shares.append(draw(number.to_bytes(8, "little")) / 2**64)
        run = build(place.full.config, store, limits=Limits(kill_after=shares[-1] * left))
        require(run.exit_code == -signal.SIGKILL, f"not killed, exit code {run.exit_code}: {run.stderr}")
        found.append(len(re.findall("found, not computed again", run.stderr)))
    same = bytes_of(build(place.full.config, store)) == undisturbed
    moments = ", then ".join(f"{share:.0%}" for share in shares)
    return Row(
        "kill -9 of the driver at random moments",
        f"after {moments} of the CPU seconds that are left to do",
        f"{', '.join(map(str, found))} finished stages found again",
        run.exit_code,
        run.message,
        same,
    )


def _cpu_seconds(whole: Path, begun: Path) -> Iterator[float]:
    """Yield what each stage of a store took that is not finished in another one."""
    for manifest in whole.glob("stages/*/*/manifest.json"):
        if not (begun / manifest.relative_to(whole)).exists():
            yield json.loads(manifest.read_text())["side"]["cpu_seconds"]


def worker_killed(place: Workplace) -> Row:
    """A worker process of Beam's multi-processing runner is killed when it has its connections, in extraction."""
    room = place.room("worker killed")
    with _job_of_two("extract", place.plain.config, room) as driver:
        os.kill(_connected_worker(driver, room / "stderr"), signal.SIGKILL)
    require(not list(room.glob("store/stages/*/*/manifest.json")), "a stage was finished")
    return _worker_row("kill -9 of a worker process", "one of two workers, in extraction", driver, place, room)


def worker_killed_at_work(place: Workplace) -> Row:
    """A worker process is killed when it has written a shard of tokens and not named it."""
    assert place.plain.undisturbed
    room = place.room("worker killed at work")
    shutil.copytree(place.plain.store, room / "store")
    for later in ("tokenize", "account", "pack", "pack_heldout"):
        shutil.rmtree(room / "store" / "stages" / later)
    (room / "sitecustomize.py").write_text(DIES_AT_WORK.format(mark=str(room / "died")))
    with _job_of_two("tokenize", place.plain.config, room) as driver:
        pass
    require((room / "died").exists(), f"no worker wrote a file: {(room / 'stderr').read_text()}")
    require(list(room.glob("store/stages/tokenize/*/decisions/*/.*.tmp")), "it was not at work")
    require(not list(room.glob("store/stages/tokenize/*/manifest.json")), "the stage was finished")
    injected = "one of two workers, in tokenize, when a shard is written and not yet named"
    return _worker_row("kill -9 of a worker process at work", injected, driver, place, room)


@contextlib.contextmanager
def _job_of_two(job: str, config: Path, room: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a job alone with two worker processes, and wait for its end when the context closes.

    Python imports what is in `room` first; what the job tells goes into `stderr` there.
    """
    command = [sys.executable, "-m", f"pipelines.{job}", "--config", str(config), "--store", str(room / "store")]
    path = os.pathsep.join([str(room), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, MARK: str(room)}
    with (room / "stderr").open("w") as told:
        driver = subprocess.Popen(
            [*command, "--direct_num_workers=2"], cwd=ROOT, stderr=told, stdout=told, env=environment
        )
    try:
        yield driver
        driver.wait(DEADLINE_SECONDS)
    finally:
        driver.kill()


def _worker_row(fault: str, injected: str, driver: subprocess.Popen[bytes], place: Workplace, room: Path) -> Row:
    """Check how a job ended of which a worker was killed, and go on."""
    run = Run(driver.wait(), (room / "stderr").read_text(), None, None)
    require_told(run, 1, r"error: \w+: a worker process was ended by SIGKILL", "run the same command again")
    require(not _living(room), "a worker lives on")
    same = bytes_of(build(place.plain.config, room / "store")) == place.plain.undisturbed
    happened = "the job ends, no manifest, the other worker ends too"
    return Row(fault, injected, happened, run.exit_code, run.message, same)


def _living(room: Path) -> list[str]:
    """Return the processes that live of a job started in `room`, its workers among them, whoever their parent is."""
    found, mark = [], f"{MARK}={room}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(folder.name)
    return found


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


def _descendants(pid: int) -> set[int]:
    """Return the ids of the living processes below one."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found |= {int(folder.name)} | _descendants(int(folder.name))
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
    "kill -9 of the driver at random moments": killed_at_random,
    "kill -9 of a worker process": worker_killed,
    "kill -9 of a worker process at work": worker_killed_at_work,
    "two builds at once": two_builds,
}
