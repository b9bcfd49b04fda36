"""A fine-tuning is a run: it learns, stops and goes on, is evaluated and generates, and says what it came from."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from glam.main import app
from pipelines.store.configuration import ConfigError
from pipelines.store.errors import GlamError, Terminated
from trainer.config import TrainingConfig
from trainer.fine_tuning.fine_tune import fine_tune, prepare
from trainer.fine_tuning.settings import FineTuningSettings
from trainer.loop import train
from trainer.metrics import read_metrics
from trainer.run_folder import read_run

ROOT = Path(__file__).parents[3]
ANSWERS = {
    f"{key} =": f" {value}"
    for key, value in zip(("one", "two", "six", "ten"), ("int", "str", "set", "def"), strict=True)
}
SETTINGS = FineTuningSettings(steps=60, learning_rate=0.1, batch_rows=2)
CHANGES = {"training": {"checkpoint_every": 20, "log_every": 5}}
PROGRAM = """
import sys, time
from pipelines.store.stages import read_manifest
from pipelines.store.versions import Version
from tests.trainer.fine_tuning.test_fine_tune import CHANGES, SETTINGS
from trainer.fine_tuning.fine_tune import fine_tune, prepare
url, parent, path, run = sys.argv[1:]
prepared = prepare(parent, Version(url, read_manifest(url, "version")), path, SETTINGS, CHANGES)
fine_tune(prepared, run, on_step=lambda *_: time.sleep(2))
"""


def write_examples(path: Path, answers: dict[str, str]) -> str:
    path.write_text("".join(json.dumps({"prompt": p, "answer": a}) + "\n" for p, a in answers.items()))
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tuned")


@pytest.fixture(scope="module")
def parent(version, folder):
    sizes = {"model_dim": 32, "hidden_dim": 64, "heads": 2, "head_dim": 16, "layers": 2, "group_size": 32}
    config = TrainingConfig.model_validate(
        {"version": "filtered", "model": sizes, "training": {"steps": 20, "batch_rows": 2}}
    )
    return train(version, config, str(folder / "parent"))


@pytest.fixture(scope="module")
def examples(folder):
    return write_examples(folder / "examples.jsonl", ANSWERS)


@pytest.fixture(scope="module")
def tuned(version, parent, examples, folder):
    return fine_tune(prepare(parent.run_dir, version, examples, SETTINGS, CHANGES), str(folder / "run"))


def glam(version, *arguments: str):
    store = str(Path(version.url).parents[1])
    done = CliRunner().invoke(app, [*arguments, "--store", store, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_it_learns_the_answers_and_to_stop_after_them(version, parent, tuned, examples):
    assert tuned.loss < 0.1
    prompts = [argument for prompt in ANSWERS for argument in ("--prompt", prompt)]
    for method in ("greedy", "beam"):
        answer, _ = glam(version, "generate", tuned.run_dir, *prompts, "--method", method, "--max-tokens", "8")
        assert {entry["prompt"]: entry["text"] for entry in answer["continuations"]} == ANSWERS
        assert {entry["reason"] for entry in answer["continuations"]} == {"id"}
    untaught, _ = glam(version, "generate", parent.run_dir, "--prompts", examples, "--max-tokens", "8")
    assert {entry["text"] for entry in untaught["continuations"]}.isdisjoint(ANSWERS.values())


def test_a_run_that_is_not_finished_generates_too_and_says_what_it_cuts(version, tuned, folder):
    path = folder / "run" / "run.json"
    kept = path.read_bytes()
    path.write_text(json.dumps(json.loads(kept) | {"finished": False}))
    long = "a b c d e f g h i j k l m n o p q r s t u v w x y z one ="
    answer, told = glam(version, "generate", str(tuned.run_dir), "--prompt", long, "--max-tokens", "8")
    path.write_bytes(kept)
    assert answer["step"] == 60
    (entry,) = answer["continuations"]
    assert entry["cut"] > 0
    assert f"prompt 1: lost {entry['cut']} tokens at its left; the context has room for 24" in told


def test_samples_are_a_function_of_prompt_and_seed(version, parent):
    def texts(*arguments):
        sampled = ("--method", "sample", "--top-k", "50", "--max-tokens", "8", "--samples", "3")
        answer, _ = glam(version, "generate", parent.run_dir, *sampled, *arguments)
        return {(e["prompt"], e["sample"]): e["text"] for e in answer["continuations"]}

    alone = texts("--prompt", "The")
    assert len(set(alone.values())) == 3
    assert alone.items() <= texts("--prompt", "def", "--prompt", "The").items()
    assert alone != texts("--prompt", "The", "--seed", "1")


def test_it_is_a_run_that_can_be_evaluated_and_names_its_parent_and_data(version, parent, tuned, examples):
    answer, _ = glam(version, "evaluate", tuned.run_dir)
    assert set(answer["tasks"]) == {"heldout/manual", "heldout/reference"}
    run = read_run(tuned.run_dir)
    assert run["parent"] == {"run": parent.run_dir, "step": 20, "weights": parent.weights}
    digest = hashlib.sha256(Path(examples).read_bytes()).hexdigest()
    assert run["data"] == {"file": examples, "sha256": digest, "examples": 4, "cut": 0}


def test_killed_and_stopped_it_goes_on_to_the_same_weights(version, parent, tuned, examples, tmp_path):
    run_dir = str(tmp_path / "run")
    arguments = [version.url, parent.run_dir, examples, run_dir]
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], cwd=ROOT, env=dict(os.environ))
    deadline = time.monotonic() + 300
    while len(read_metrics(f"{run_dir}/metrics.jsonl")) < 25:  # after the first checkpoint
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()

    def stop(done, *_):
        if done == 30:
            os.kill(os.getpid(), signal.SIGTERM)

    prepared = prepare(parent.run_dir, version, examples, SETTINGS, CHANGES)
    with pytest.raises(Terminated, match=r"stopped by SIGTERM after 3[0-9] of 60 updates"):
        fine_tune(prepared, run_dir, on_step=stop)
    assert fine_tune(prepared, run_dir).weights == tuned.weights
    losses = [[line["loss"] for line in read_metrics(f"{folder}/metrics.jsonl")] for folder in (run_dir, tuned.run_dir)]
    assert losses[0] == losses[1]


def test_other_examples_another_parent_or_seed_are_another_run(version, parent, tuned, examples, tmp_path):
    changed = write_examples(tmp_path / "changed.jsonl", ANSWERS | {"one =": " float"})
    with pytest.raises(GlamError, match=r"holds another run; it differs in data\."):
        fine_tune(prepare(parent.run_dir, version, changed, SETTINGS, CHANGES), tuned.run_dir)
    with pytest.raises(GlamError, match=r"holds another run; it differs in parent\."):
        fine_tune(prepare(tuned.run_dir, version, examples, SETTINGS, CHANGES), tuned.run_dir)
    other = SETTINGS.model_copy(update={"seed": 1})
    with pytest.raises(GlamError, match=r"holds another run; it differs in seed\."):
        fine_tune(prepare(parent.run_dir, version, examples, other, CHANGES), tuned.run_dir)
    with pytest.raises(GlamError, match=r"holds another run; it differs in .*parent, data"):
        fine_tune(prepare(parent.run_dir, version, examples, SETTINGS, CHANGES), parent.run_dir)


def test_epochs_decide_the_steps_and_a_wrong_line_is_named(version, parent, examples, tmp_path):
    by_epochs = SETTINGS.model_copy(update={"steps": 0, "epochs": 5})
    assert prepare(parent.run_dir, version, examples, by_epochs, {}).config.training.steps == 5  # two rows an epoch
    path = tmp_path / "wrong.jsonl"
    path.write_text('{"prompt": "a", "answer": "b"}\n{"prompt": "a", "anwser": "b"}\n')
    with pytest.raises(ConfigError, match=r"wrong\.jsonl: line 2: answer: Field required"):
        prepare(parent.run_dir, version, str(path), SETTINGS, {})
