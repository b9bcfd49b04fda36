"""A run is a function of its settings: repeated, killed, resumed or moved, it gives the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.store.configuration import ConfigError
from pipelines.store.errors import GlamError
from trainer.config import TrainingConfig
from trainer.loop import train
from trainer.metrics import MetricsFile, read_metrics
from trainer.run_folder import read_run

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, sys, time
from pipelines.store.stages import read_manifest
from pipelines.store.versions import Version
from trainer.config import TrainingConfig
from trainer.loop import train
url, run, settings, pause = sys.argv[1:]
train(Version(url, read_manifest(url, "version")), TrainingConfig.model_validate_json(settings), run,
      on_step=lambda done, steps, record: time.sleep(float(pause)))
"""


def without_seconds(run_dir: str) -> list[dict]:
    return [
        {key: value for key, value in record.items() if key != "seconds"}
        for record in read_metrics(f"{run_dir}/metrics.jsonl")
    ]


def start(version, config: TrainingConfig, run_dir: str, pause: float) -> subprocess.Popen:
    arguments = [version.url, run_dir, config.model_dump_json(), str(pause)]
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], cwd=ROOT, env=dict(os.environ))


def kill_when_lines_reach(process: subprocess.Popen, run_dir: str, lines: int) -> None:
    """Kill a training process as soon as its metrics have so many lines."""
    deadline = time.monotonic() + 120
    while len(read_metrics(f"{run_dir}/metrics.jsonl")) < lines:
        assert process.poll() is None, "the training ended before it could be killed"
        assert time.monotonic() < deadline, "the training wrote no metrics"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.fixture(scope="module")
def finished(version, tmp_path_factory):
    run_dir = str(tmp_path_factory.mktemp("finished") / "run")
    config = small_config()
    return config, train(version, config, run_dir), run_dir


def small_config(**model) -> TrainingConfig:
    sizes = {"model_dim": 32, "hidden_dim": 64, "heads": 2, "head_dim": 16, "layers": 2, "group_size": 32}
    steps = {"steps": 12, "batch_rows": 4, "checkpoint_every": 5, "log_every": 3}
    return TrainingConfig.model_validate({"version": "filtered", "model": {**sizes, **model}, "training": steps})


def test_killed_at_any_time_it_goes_on_to_the_same_weights_and_metrics(version, finished, run_dir):
    config, uninterrupted, folder = finished
    kill_when_lines_reach(start(version, config, run_dir, pause=30), run_dir, 3)  # before the first checkpoint
    kill_when_lines_reach(start(version, config, run_dir, pause=2), run_dir, 9)  # between two checkpoints
    assert sorted(path.name for path in Path(run_dir, "checkpoints").iterdir() if path.name.isdigit()) == ["5"]
    assert not read_run(run_dir)["finished"]
    resumed = train(version, config, run_dir)
    assert resumed.weights == uninterrupted.weights
    assert without_seconds(run_dir) == without_seconds(folder)
    assert resumed.seconds > 0


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(version, finished, tmp_path):
    config, first, folder = finished
    again = train(version, config, str(tmp_path / "again"))
    other = train(version, config, str(tmp_path / "other"), seed=1)
    assert again.weights == first.weights
    assert without_seconds(str(tmp_path / "again")) == without_seconds(folder)
    assert other.weights != first.weights


def test_a_finished_run_is_returned_at_once(version, finished):
    config, result, folder = finished
    before = Path(folder, "metrics.jsonl").stat().st_mtime_ns
    assert train(version, config, folder) == result
    assert Path(folder, "metrics.jsonl").stat().st_mtime_ns == before


def test_a_folder_of_another_run_is_refused_and_says_what_differs(version, finished):
    config, _, folder = finished
    with pytest.raises(GlamError, match=r"another run; it differs in seed\."):
        train(version, config, folder, seed=5)
    changed = config.changed({"model": {"capacity_factor": 1.0}}, "test")
    with pytest.raises(GlamError, match=r"differs in model\."):
        train(version, changed, folder)


def test_how_often_it_reports_is_not_part_of_a_run(version, finished):
    config, result, folder = finished
    changed = config.changed({"training": {"log_every": 1, "checkpoint_every": 2}}, "test")
    assert train(version, changed, folder) == result


def test_the_metrics_tell_losses_apart_and_what_the_experts_did(finished):
    _, result, folder = finished
    records = read_metrics(f"{folder}/metrics.jsonl")
    assert [record["step"] for record in records] == list(range(1, 13))
    assert records[-1]["tokens"] == result.tokens
    for record in records:
        assert len(record["load"]) == 1
        assert sum(record["load"][0]) == pytest.approx(1, abs=1e-3)
        assert all(0 <= share <= 1 for share in record["dropped"][0])
        assert record["auxiliary"] >= 0.9
        assert record["output_z"] > 0
    assert json.loads(Path(folder, "run.json").read_text())["result"]["weights"] == result.weights


def test_it_learns_and_a_dense_twin_trains_too(version, tmp_path):
    config = small_config(experts=0).changed({"training": {"steps": 60, "log_every": 20}}, "test")
    result = train(version, config, str(tmp_path / "dense"))
    records = read_metrics(str(tmp_path / "dense" / "metrics.jsonl"))
    assert records[0]["loss"] - result.loss > 1.0
    assert "load" not in records[0]


def test_a_batch_that_cannot_be_grouped_is_refused(version, config, run_dir):
    for section, key in (("model", "group_size"), ("training", "loss_chunk")):
        with pytest.raises(ConfigError, match=rf"{section}\.{key}: 48 does not divide the 128 tokens of a batch"):
            train(version, config.changed({section: {key: 48}}, "test"), run_dir)
    assert not Path(run_dir).exists()


def test_metrics_that_lost_lines_are_refused(finished, tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"".join(Path(finished[2], "metrics.jsonl").read_bytes().splitlines(keepends=True)[:3]) + b'{"st')
    assert len(read_metrics(str(path))) == 3
    with pytest.raises(GlamError, match="has 3 of the 5 lines before the last checkpoint"):
        MetricsFile(str(path), 5)
