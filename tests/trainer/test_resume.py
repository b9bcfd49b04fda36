"""Killed with SIGKILL at any moment, also while a checkpoint is being written, a run goes on as if nothing had been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainer.board import board_events
from tests.trainer.compiled_once import compiled_once
from trainer.config import TrainingConfig
from trainer.loop import train
from trainer.metrics import read_metrics
from trainer.run_folder import read_run

ROOT = Path(__file__).parents[2]
STEPS, EVERY = 12, 5
PROGRAM = """
import os, signal, sys
from pipelines.store.stages import read_manifest
from pipelines.store.versions import Version
from trainer.checkpoints import Checkpoints
from trainer.config import TrainingConfig
from trainer.loop import train
url, run, settings, moment, step = sys.argv[1:]

save, used = Checkpoints.save, []

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def save_and_die(checkpoints, state, progress):
    save(checkpoints, state, progress)  # returns while the checkpoint is being written
    used.append(checkpoints)
    if (moment, int(step)) == ("write", progress.step):
        die()

def on_step(done, steps, record):
    if (moment, int(step)) == ("update", done):
        for checkpoints in used:
            checkpoints.wait()
        die()

Checkpoints.save = save_and_die
train(Version(url, read_manifest(url, "version")), TrainingConfig.model_validate_json(settings), run, on_step=on_step)
"""


def without_seconds(run_dir: str) -> list[dict]:
    return [
        {key: value for key, value in record.items() if key not in ("seconds", "input_seconds")}
        for record in read_metrics(f"{run_dir}/metrics.jsonl")
    ]


def mixture_in_micro_batches() -> TrainingConfig:
    """A mixture of experts with drops and a random policy, read in two micro-batches."""
    model = {"model_dim": 32, "hidden_dim": 64, "heads": 2, "head_dim": 16, "layers": 2, "group_size": 32}
    routing = {"capacity_factor": 1.0, "second_expert": "random"}
    training = {"steps": STEPS, "batch_rows": 4, "micro_batches": 2, "checkpoint_every": EVERY, "log_every": 1}
    return TrainingConfig.model_validate({"version": "filtered", "model": model | routing, "training": training})


def train_and_be_killed(version, config: TrainingConfig, run_dir: str, moment: str, step: int) -> list[str]:
    """Train in a process that kills itself; return the checkpoints that are left."""
    arguments = [version.url, run_dir, config.model_dump_json(), moment, str(step)]
    command = [sys.executable, "-c", PROGRAM, *arguments]
    surroundings = {**os.environ, **compiled_once(f"{run_dir}-compiled")}
    done = subprocess.run(command, cwd=ROOT, env=surroundings, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not read_run(run_dir)["finished"]
    return sorted(path.name for path in Path(run_dir, "checkpoints").iterdir() if path.name.isdigit())


@pytest.fixture(scope="module")
def uninterrupted(version, tmp_path_factory):
    run_dir = str(tmp_path_factory.mktemp("uninterrupted") / "run")
    return train(version, mixture_in_micro_batches(), run_dir), run_dir


def test_killed_at_any_moment_it_goes_on_to_the_same_weights_and_metrics(version, uninterrupted, run_dir):
    result, folder = uninterrupted
    config = mixture_in_micro_batches()
    assert train_and_be_killed(version, config, run_dir, "update", 3) == []
    assert train_and_be_killed(version, config, run_dir, "write", 5) == []  # nothing but the half-written one
    assert any(not path.name.isdigit() for path in Path(run_dir, "checkpoints").iterdir())
    assert train_and_be_killed(version, config, run_dir, "update", 8) == ["5"]
    assert train_and_be_killed(version, config, run_dir, "write", 12)[:2] == ["10", "5"]
    assert without_seconds(run_dir) == without_seconds(folder)
    resumed = train(version, config, run_dir)
    assert resumed.weights == result.weights
    assert without_seconds(run_dir) == without_seconds(folder)
    assert (resumed.steps, resumed.tokens, resumed.loss) == (result.steps, result.tokens, result.loss)
    assert [event.step for event in board_events(run_dir) if event.HasField("summary")] == list(range(1, STEPS + 1))
