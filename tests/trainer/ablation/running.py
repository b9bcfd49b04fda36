"""Running a study in a process of its own, and what can be seen of it."""

from __future__ import annotations

import time
from pathlib import Path

from pipelines.progress import SilentDisplay

PATIENCE = 900
RUN_IT = """
import sys
from pipelines.progress import TerminalDisplay
from trainer.ablation.run import run_study
from trainer.ablation.study import load_study
run_study(load_study(sys.argv[1]), sys.argv[2], [], TerminalDisplay())
"""


class Listener(SilentDisplay):
    """Keeps what was said."""

    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


def finished_runs(store):
    runs = (path for path in (store / "runs").glob("*/evaluation.json"))
    return {path.parent.name: (path.parent / "run.json").stat().st_mtime_ns for path in runs}


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return found


def processes_with(text):
    """Return the ids of the processes whose command line has `text`."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if text in line:
                found.append(int(folder.name))
    return found


def children_of(process):
    return [int(n) for task in Path(f"/proc/{process}/task").glob("*/children") for n in task.read_text().split()]
