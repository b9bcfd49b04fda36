"""One small study for everything that is asked of a finished one: killed after its first run, and gone on with."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.store.code_identity import ROOT
from tests.trainer.ablation.running import RUN_IT, Listener, children_of, finished_runs, wait_for
from tests.trainer.ablation.small_study import write_study
from trainer.ablation.run import run_study
from trainer.ablation.study import load_study


@pytest.fixture(scope="session")
def killed(tmp_path_factory):
    """A study whose process was killed after its first run, and what was finished then."""
    if not Path("/proc/self/task").exists():
        pytest.skip("needs /proc to see the processes of a study")
    folder = tmp_path_factory.mktemp("study")
    path, store = write_study(folder), folder / "store"
    command = [sys.executable, "-c", RUN_IT, str(path), str(store)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: finished_runs(store) or process.poll() is not None)
    workers = children_of(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert workers, "the study ended before it could be killed"
    wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    return path, store, finished_runs(store)


@pytest.fixture(scope="session")
def finished(killed):
    path, store, _ = killed
    listener = Listener()
    study, _ = run_study(load_study(str(path)), str(store), [], listener)
    return study, listener.said
