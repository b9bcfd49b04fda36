"""A run that is harmed goes back, passes over the batches that harmed it, and says so; its log repeats it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import trainer.session
from pipelines.store.errors import GlamError
from pipelines.store.hashing import sha256_json
from pipelines.store.sequences import decode_sequence
from pipelines.store.tfrecord import ShardReader
from trainer.config import StabilitySettings, TrainingConfig
from trainer.data import TrainingData
from trainer.loop import train
from trainer.metrics import read_metrics
from trainer.run_folder import read_run, run_identity
from trainer.session import weights_hash
from trainer.stability import RollBack, Trouble, batches_read, find_trouble, healthy_step, read_events
from trainer.step import compiled_start, compiled_step
from trainer.trace import trace_step

ROOT = Path(__file__).parents[2]
SETTINGS = StabilitySettings(window=8, deviations=6.0, patience=2, healthy_after=3, roll_backs=2)
STEPS, EVERY = 30, 5
POISON = range(21, 24)
PROGRAM = """
import sys
from pipelines.store.errors import errors_told
from pipelines.store.stages import read_manifest
from pipelines.store.versions import Version
from tests.trainer.test_stability import poison
from trainer.config import TrainingConfig
from trainer.loop import train
url, run, settings, pause = sys.argv[1:]
poison()
import time
with errors_told():
    train(Version(url, read_manifest(url, "version")), TrainingConfig.model_validate_json(settings), run,
          on_step=lambda *_: time.sleep(float(pause)))
"""


class PoisonedData(TrainingData):
    """Data of which a few batches are noise."""

    def batch(self, step):
        batch = super().batch(step)
        if step not in POISON:
            return batch
        noise = np.random.default_rng(step).integers(3, 400, (2, *batch.inputs.shape), dtype=np.int32)
        return batch._replace(inputs=noise[0], targets=noise[1])


def poison() -> None:
    trainer.session.TrainingData = PoisonedData


def record(step, loss, skipped=False):
    return {"step": step, "loss": loss, "skipped": skipped}


def lines(*losses):
    return [record(step, loss, loss is None) for step, loss in enumerate(losses, 1)]


CALM = [4.0, 4.1, 3.9, 4.0, 4.2, 3.8, 4.0, 4.1, 3.95, 4.05]


def test_a_spike_is_patience_losses_far_above_the_median_before_them():
    assert find_trouble(lines(*CALM), SETTINGS) is None
    assert find_trouble(lines(*CALM, 9.0), SETTINGS) is None
    trouble = find_trouble(lines(*CALM, 9.0, 8.0), SETTINGS)
    assert (trouble.step, trouble.reason) == (12, "spike")
    assert trouble.deviations > 6
    assert find_trouble(lines(*CALM, 9.0, 4.0), SETTINGS) is None
    assert find_trouble(lines(*CALM, 0.1, 0.1), SETTINGS) is None
    assert find_trouble(lines(*CALM[:5], 9.0, 9.0), SETTINGS) is None  # too few losses to know what is usual


def test_losses_that_hardly_move_do_not_make_every_move_a_spike():
    assert find_trouble(lines(*[4.0] * 10, 4.01, 4.01), SETTINGS) is None


def test_one_update_that_is_not_finite_is_skipped_and_several_in_a_row_are_trouble():
    assert find_trouble(lines(*CALM, None), SETTINGS) is None
    assert find_trouble(lines(*CALM, None, None), SETTINGS) == Trouble(12, "not_finite", None)
    assert find_trouble(lines(*CALM, None, 4.0), SETTINGS) is None


@pytest.mark.parametrize(
    ("step", "kept", "to_step"), [(24, [5, 10, 15, 20], 20), (23, [5, 10, 15, 20], 15), (24, [17, 19], 0), (3, [], 0)]
)
def test_a_checkpoint_is_healthy_when_updates_without_trouble_followed(step, kept, to_step):
    assert healthy_step(Trouble(step, "spike", 9.0), kept, EVERY, SETTINGS) == to_step


def test_the_log_tells_the_batch_of_each_update():
    events = [RollBack(1, "spike", 6, 4, 2, 9.0), RollBack(2, "spike", 7, 5, 4, 9.0)]
    assert batches_read([], 4) == [0, 1, 2, 3]
    assert batches_read(events, 9) == [0, 1, 2, 3, 6, 9, 10, 11, 12]


def config(**training) -> TrainingConfig:
    return TrainingConfig.model_validate(
        {
            "version": "filtered",
            "model": {"model_dim": 32, "hidden_dim": 64, "heads": 2, "head_dim": 16, "layers": 2, "group_size": 32},
            "training": {"steps": STEPS, "batch_rows": 4, "checkpoint_every": EVERY, "log_every": 4, **training},
            "stability": SETTINGS.model_dump(),
        }
    )


@pytest.fixture(scope="module")
def rolled_back(version, tmp_path_factory):
    run_dir = str(tmp_path_factory.mktemp("poisoned") / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.session, "TrainingData", PoisonedData)
        return train(version, config(), run_dir), run_dir


def test_poisoned_batches_make_the_run_go_back_and_pass_over_them(rolled_back):
    result, run_dir = rolled_back
    (event,) = read_events(f"{run_dir}/events.jsonl")
    assert event.reason == "spike"
    assert POISON.start < event.step <= POISON.stop
    assert event.to_step == 15
    records = read_metrics(f"{run_dir}/metrics.jsonl")
    assert [line["step"] for line in records] == list(range(1, STEPS + 1))
    batches = [line["batch"] for line in records]
    assert batches == batches_read([event], STEPS)
    assert len(set(batches) & set(POISON)) <= 1
    assert result.roll_backs == 1


def test_the_log_repeats_the_run_without_any_decision(version, rolled_back):
    result, run_dir = rolled_back
    settings = config()
    data = PoisonedData(version, 4, 0)
    state = compiled_start(settings.model, settings.optimizer, version.vocabulary_size)(jnp.int32(0))
    step = compiled_step(settings.model, settings.optimizer, STEPS, 0, 1)
    for update, batch in enumerate(batches_read(read_events(f"{run_dir}/events.jsonl"), STEPS), 1):
        state, _ = step(state, jnp.int32(update), jnp.int32(0), data.batch(batch))
    assert weights_hash(state.decoder) == result.weights


def test_a_trace_names_the_records_of_every_update_and_what_the_roll_back_undid(version, rolled_back):
    _, run_dir = rolled_back
    run, data = read_run(run_dir), TrainingData(version, 4, 0)
    (event,) = read_events(f"{run_dir}/events.jsonl")
    for line in read_metrics(f"{run_dir}/metrics.jsonl"):
        traced = trace_step(run_dir, run, version, line["step"])
        assert traced.batch == line["batch"]
        assert traced.passed_over == ([line["step"] - 1] if event.to_step < line["step"] <= event.step else [])
        for row, record in zip(traced.rows, data.records(traced.batch), strict=True):
            payload = ShardReader(f"{version.url}/{row.shard}").record(row.record)
            assert row.shard in version.manifest["components"][row.component]["shards"]
            assert decode_sequence(payload, version.token_dtype).document_ids == record.document_ids
    with pytest.raises(GlamError, match=f"--step {STEPS + 1}: .* has the updates 1 to {STEPS}"):
        trace_step(run_dir, run, version, STEPS + 1)


def start(version, run_dir: str, pause: float) -> subprocess.Popen:
    arguments = [version.url, run_dir, config().model_dump_json(), str(pause)]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], cwd=ROOT, env=dict(os.environ), stderr=subprocess.PIPE, text=True
    )


def wait_for(process: subprocess.Popen, happened) -> None:
    deadline = time.monotonic() + 180
    while not happened():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_stopped_and_killed_around_a_roll_back_it_gives_the_same_weights(version, rolled_back, run_dir):
    uninterrupted, folder = rolled_back
    process = start(version, run_dir, 1.0)
    wait_for(process, lambda: len(read_metrics(f"{run_dir}/metrics.jsonl")) >= 16)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143
    message = process.stderr.read()
    assert "stopped by SIGTERM after" in message
    assert "Traceback" not in message
    process = start(version, run_dir, 1.0)
    wait_for(process, lambda: read_events(f"{run_dir}/events.jsonl"))
    process.kill()  # after the decision, before a checkpoint knows of it
    process.wait()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.session, "TrainingData", PoisonedData)
        resumed = train(version, config(), run_dir)
    assert resumed.weights == uninterrupted.weights
    assert read_events(f"{run_dir}/events.jsonl") == read_events(f"{folder}/events.jsonl")


def test_weights_that_explode_stop_the_run_after_the_allowed_roll_backs(version, run_dir):
    settings = config().changed(
        {"optimizer": {"learning_rate": 1e30, "schedule": "inverse_square_root"}, "stability": {"roll_backs": 1}},
        "test",
    )
    with pytest.raises(GlamError, match=r"not_finite after update \d+, and the run went back 1 times already"):
        train(version, settings, run_dir)
    (event,) = read_events(f"{run_dir}/events.jsonl")
    assert (event.reason, event.to_step) == ("not_finite", 0)


def test_a_checkpoint_of_another_version_is_refused(version, other_version, rolled_back, tmp_path):
    _, folder = rolled_back
    run_dir = tmp_path / "run"
    shutil.copytree(folder, run_dir)
    run = json.loads((run_dir / "run.json").read_text())
    decided = config().resolved(other_version.sequence_length, "cpu")
    changed = {"fingerprint": sha256_json(run_identity(other_version.id, decided, 0)), "finished": False}
    (run_dir / "run.json").write_text(json.dumps(run | changed))
    with pytest.raises(GlamError, match=f"its checkpoint was trained on version {version.id}"):
        train(other_version, config(), str(run_dir))
