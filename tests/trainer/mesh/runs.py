"""Starts trainings on several devices and in several processes, and reads what they made."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

from pipelines.store.versions import Version
from tests.trainer.compiled_once import compiled_once
from tests.trainer.mesh.fake_devices import HERE, ROOT, environment
from trainer.metrics import read_metrics

STEPS = 24
CONFIG = f"""
version = "filtered"
[model]
model_dim = 32
hidden_dim = 64
heads = 2
head_dim = 16
layers = 2
group_size = 32
dispatcher = "einsum"
[training]
steps = {STEPS}
batch_rows = 4
checkpoint_every = 6
log_every = 1
[preflight]
steps = 12
loss_fall = 0.01
input_share = 1.0
"""

SAME = ("step", "batch", "tokens")
"""What no mesh changes."""

ROUNDING = 2e-4
"""Relative: what another order of float32 sums leaves after 24 updates; another batch differs by some percent."""


def store_of(version: Version) -> Path:
    """Return the store that a version lies in."""
    return Path(version.url).parents[1]


def start(
    store: Path,
    run_dir: Path,
    mesh: tuple[int, int],
    devices: int,
    *options: str,
    stop: int = 0,
    join: tuple[int, int] | None = None,
) -> subprocess.Popen:
    """Start a training with further options of `glam train`; `join` is (port, number of this process) of two."""
    config = run_dir.parent / "training.toml"
    config.write_text(CONFIG)
    command = [sys.executable, str(HERE / "trainings.py"), str(stop), str(config), "--run", str(run_dir)]
    command += ["--store", str(store), "--set", f"mesh.data={mesh[0]}", "--set", f"mesh.model={mesh[1]}", *options]
    if join is not None:
        command += ["--coordinator", f"localhost:{join[0]}", "--processes", "2", "--process", str(join[1])]
    surroundings = environment(devices) | compiled_once(run_dir.parent / "compiled")
    return subprocess.Popen(command, cwd=ROOT, env=surroundings, stderr=subprocess.PIPE, text=True)


def start_pair(store: Path, run_dir: Path, *options: str) -> list[subprocess.Popen]:
    """Start two processes of one device each."""
    port = free_port()
    return [start(store, run_dir, (2, 1), 1, *options, join=(port, number)) for number in range(2)]


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def end(process: subprocess.Popen, seconds: float = 400) -> tuple[int, str]:
    """Return the exit code of a process and what it said on stderr."""
    _, said = process.communicate(timeout=seconds)
    return process.returncode, said


def wait_for_lines(run_dir: Path, lines: int, processes: list[subprocess.Popen]) -> None:
    """Return when a run's metrics have so many lines."""
    deadline = time.monotonic() + 400
    while len(read_metrics(str(run_dir / "metrics.jsonl"))) < lines:
        assert all(process.poll() is None for process in processes), [end(process) for process in processes]
        assert time.monotonic() < deadline, "the training wrote no metrics"
        time.sleep(0.01)


def records(run_dir: Path) -> list[dict]:
    """Return the lines of a run's metrics."""
    return read_metrics(str(run_dir / "metrics.jsonl"))


def read(said: str) -> dict:
    """Return what a process said it had read: `records`, their number, and `rows`, {batch: {row: sha256}}."""
    return json.loads(said.splitlines()[-1])
