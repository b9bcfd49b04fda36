"""Real processes of the `glam` command, and what is done to them: killed at a place, another user, small files only.

A process is forked from a server that has done already what is the same for all (preload.py), which saves four CPU
seconds of each. Everything else is as on the command line: arguments, exit code, stdout, stderr.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEADLINE_SECONDS = 600
"""A process that takes longer hangs."""

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # a training looks for accelerators otherwise
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.faults.preload"])


@dataclass(frozen=True)
class Run:
    """A process that ended.

    Attributes:
        exit_code: negative where a signal ended it.
        stderr: what it told.
        answer: the object on the last line of stdout, if it is one.
        peak_mib: the most memory it held; None where it could not tell.
    """

    exit_code: int
    stderr: str
    answer: dict[str, Any] | None
    peak_mib: float | None

    @property
    def message(self) -> str:
        """The error that it told, or nothing."""
        _, mark, error = self.stderr.partition("error: ")
        return error.strip() if mark else ""


@dataclass(frozen=True)
class Limits:
    """What is done to a process.

    Attributes:
        kill_at: kill -9 it when it is about to give a file whose path matches this pattern its final name.
        hold_at: stop it there instead, the first time, until `release` lets it go on.
        kill_after: kill -9 it when it has used so many CPU seconds, wherever it is.
        user: number of the user that it becomes.
        file_bytes: no file may become larger.
    """

    kill_at: str | None = None
    hold_at: str | None = None
    kill_after: float | None = None
    user: int | None = None
    file_bytes: int | None = None


def start(*arguments: Any, limits: Limits | None = None) -> tuple[Any, Path]:
    """Start `glam` with these arguments; return the process and the folder of what it tells."""
    folder = Path(tempfile.mkdtemp(prefix="glam-run-"))
    process = _context.Process(target=_be_glam, args=([str(a) for a in arguments], folder, limits or Limits()))
    process.start()
    return process, folder


def release(processes: Sequence[Any]) -> None:
    """Wait until every process is held (`Limits.hold_at`) or has ended, then let all go on."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not all(_held(process) or process.exitcode is not None for process in processes):
        if time.monotonic() > deadline:
            raise TimeoutError("glam does not come to the place where it is to be held")
        time.sleep(0.02)
    for process in processes:
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGCONT)


def _held(process: Any) -> bool:
    status = Path(f"/proc/{process.pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] == "T"


def wait(process: Any, folder: Path) -> Run:
    """Wait for a process that was started; one that hangs is killed and is an error."""
    process.join(DEADLINE_SECONDS)
    told = {path.name: path.read_text(errors="replace") for path in folder.iterdir()}
    shutil.rmtree(folder)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"glam hangs; it told: {told['stderr']}")
    lines = told["stdout"].splitlines()
    answer = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else None
    return Run(process.exitcode, told["stderr"], answer, float(told["peak"]) if "peak" in told else None)


def glam(*arguments: Any, limits: Limits | None = None) -> Run:
    """Run `glam` with these arguments to its end."""
    return wait(*start(*arguments, limits=limits))


def _be_glam(arguments: list[str], folder: Path, limits: Limits) -> None:
    from glam.main import main

    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    peak = os.open(folder / "peak.tmp", os.O_WRONLY | os.O_CREAT)
    _limit(limits)
    sys.argv = ["glam", *arguments]
    try:
        main()
    finally:
        os.write(peak, _peak_mib().encode())
        if limits.user is None and limits.file_bytes is None:
            (folder / "peak.tmp").rename(folder / "peak")


def _peak_mib() -> str:
    status = Path("/proc/self/status").read_text().splitlines()
    return str(int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024)


def _limit(limits: Limits) -> None:
    if limits.file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file_bytes, limits.file_bytes))
    if limits.user is not None:
        os.setgroups([])
        os.setgid(limits.user)
        os.setuid(limits.user)
    if limits.kill_at is not None:
        _signal_at(limits.kill_at, signal.SIGKILL)
    if limits.hold_at is not None:
        _signal_at(limits.hold_at, signal.SIGSTOP)
    if limits.kill_after is not None:
        signal.signal(signal.SIGPROF, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        signal.setitimer(signal.ITIMER_PROF, limits.kill_after)


def _signal_at(pattern: str, number: signal.Signals) -> None:
    """Send this process a signal when it is about to give a file of such a path its final name, the first time."""
    place = re.compile(pattern)
    left = [number]

    def send(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename" and place.search(str(arguments[1])) and left:
            os.kill(os.getpid(), left.pop())

    sys.addaudithook(send)
