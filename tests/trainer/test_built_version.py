"""`glam train` on a version that `glam build` made: its loss follows a recorded curve, it says what it will do before
it does it, and killed at any update it goes on as if nothing had been."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.glam.running import answer
from tests.trainer.golden_curve import BAND, RECORDED, STEPS, curves
from tests.trainer.made_corpus import write_made_corpus
from tests.trainer.test_resume import without_seconds
from trainer.accelerators import has_accelerator
from trainer.run_folder import read_run

ROOT = Path(__file__).parents[2]
KILL_AT_REPORT = """
import os, signal, sys

left = [int(os.environ["KILL_AT_REPORT"])]

def count(event, arguments):
    if event == "open" and arguments[1] == "a" and str(arguments[0]).endswith("metrics.jsonl"):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
"""
"""Python's own `sitecustomize` of a process: kill -9 when it is about to write the n-th report of its metrics."""

BEFORE_THE_FIRST_UPDATE = (
    "Model (vocabulary 400, sequences of 32 tokens)",
    "this model",
    "dense twin, equal FLOPs a token",
    "60 updates of 256 tokens (8 rows)",
    "slots an expert for a group of 64 tokens",
    "expected drops",
    "the gather dispatcher adds no FLOPs; einsum would add",
    "Memory of one device",
    "Components of made",
    "the update is compiled",
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """(store, configuration of the training, folder of the run)."""
    folder = tmp_path_factory.mktemp("built")
    corpus, training = write_made_corpus(folder / "data")
    answer("build", corpus, "--store", folder / "store")
    told = answer("train", training, "--store", folder / "store", "--run", folder / "run")
    assert (told["steps"], told["finished"]) == (STEPS, True)
    return folder / "store", training, folder / "run"


def test_the_small_mixture_of_a_made_corpus_follows_the_recorded_curve(undisturbed):
    *_, run = undisturbed
    recorded = json.loads(RECORDED.read_text())["made"]
    assert read_run(str(run))["version"]["id"] == recorded["version"]
    found = curves(str(run))
    for name, band in BAND.items():
        assert found[name] == pytest.approx(recorded[name], abs=band), f"{name}; see tests/trainer/golden_curve.py"
    assert found["loss"][-1] < found["loss"][0] - 1.0


def train_and_be_killed(undisturbed, run: Path, at_report: int) -> str:
    """Run the command in a process that is killed; return what it told."""
    store, training, _ = undisturbed
    hook = run.with_name("hook")
    hook.mkdir(exist_ok=True)
    (hook / "sitecustomize.py").write_text(KILL_AT_REPORT)
    environment = os.environ | {"PYTHONPATH": f"{hook}{os.pathsep}{ROOT}", "KILL_AT_REPORT": str(at_report)}
    if not has_accelerator():
        environment.pop("JAX_PLATFORMS")  # the command itself knows that there is a CPU alone
    command = [sys.executable, "-m", "glam", "train", training, "--store", store, "--run", run]
    done = subprocess.run(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not read_run(str(run))["finished"]
    return done.stderr


def checkpoints(run: Path) -> set[int]:
    return {int(path.name) for path in (run / "checkpoints").iterdir() if path.name.isdigit()}


def test_killed_at_several_updates_the_command_goes_on_to_the_same_curve_and_weights(undisturbed, tmp_path):
    store, training, folder = undisturbed
    run = tmp_path / "run"
    told = train_and_be_killed(undisturbed, run, at_report=3)
    places = [told.find(part) for part in BEFORE_THE_FIRST_UPDATE]
    assert -1 not in places, told
    assert places == sorted(places)
    assert "TPU" not in told
    assert len(without_seconds(str(run))) == 2
    assert not checkpoints(run)
    train_and_be_killed(undisturbed, run, at_report=25)
    assert len(without_seconds(str(run))) == 24
    assert checkpoints(run) & {10, 20}
    answer("train", training, "--store", store, "--run", run)
    assert without_seconds(str(run)) == without_seconds(str(folder))
    resumed, whole = (read_run(str(path))["result"] for path in (run, folder))
    for name in ("weights", "loss", "tokens", "steps"):
        assert resumed[name] == whole[name], name
