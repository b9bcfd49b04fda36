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
        user: number of the user that it becomes.
        file_bytes: no file may become larger.
    """

    kill_at: str | None = None
    user: int | None = None
    file_bytes: int | None = None


def start(*arguments: Any, limits: Limits | None = None) -> tuple[Any, Path]:
    """Start `glam` with these arguments; return the process and the folder of what it tells."""
    folder = Path(tempfile.mkdtemp(prefix="glam-run-"))
    process = _context.Process(target=_be_glam, args=([str(a) for a in arguments], folder, limits or Limits()))
    process.start()
    return process, folder


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
        place = re.compile(limits.kill_at)

        def kill(event: str, arguments: tuple[Any, ...]) -> None:
            if event == "os.rename" and place.search(str(arguments[1])):
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(kill)
