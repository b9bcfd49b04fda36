"""Before a run, a small model on the same data shows that it can be learned from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.store.configuration import ConfigError
from trainer.config import ModelSettings, PreflightSettings
from trainer.metrics import input_share, read_metrics
from trainer.preflight import PreflightError, judge, preflight, small_config, smallest_size
from trainer.run_folder import RunResult, read_run

RESULT = RunResult("run", "version", 20, 400, 4.0, "hash", 10.0, 10.0, 0.0, 1, skipped=0, roll_backs=0)


def lines(first: float, last: float, waited: float = 0.0) -> list[dict]:
    falling = [first + (last - first) * step / 19 for step in range(20)]
    return [{"loss": loss, "seconds": 1.0 + n, "input_seconds": waited * n} for n, loss in enumerate(falling)]


def problems(records, result=RESULT) -> list[str]:
    return judge(records, result, PreflightSettings())["problems"]


def test_a_loss_that_falls_without_roll_backs_or_waiting_passes():
    assert problems(lines(6.0, 4.0)) == []


@pytest.mark.parametrize(
    ("records", "changes", "said"),
    [
        (lines(6.0, 5.9), {}, "less than preflight.loss_fall = 0.2 down"),
        (lines(4.0, 6.0), {}, "went from 4.053 to 5.947"),
        ([*lines(6.0, 4.0)[:-1], {"loss": None, "seconds": 21.0, "input_seconds": 0.0}], {}, "not finite"),
        (lines(6.0, 4.0), {"roll_backs": 1}, "it went back 1 times and skipped 0 updates"),
        (lines(6.0, 4.0), {"skipped": 2}, "skipped 2 updates"),
        (lines(6.0, 4.0, waited=0.5), {}, r"waited for input 50.0 % of the time"),
    ],
)
def test_what_is_wrong_is_named(records, changes, said):
    result = RunResult(**{**vars(RESULT), **changes})
    (problem,) = problems(records, result)
    assert said in problem


def test_the_share_of_waiting_leaves_out_the_first_update_which_compiles():
    records = [{"seconds": 30.0, "input_seconds": 20.0}, {"seconds": 40.0, "input_seconds": 21.0}]
    assert input_share(records) == 0.1


def test_the_smallest_of_the_family_is_of_the_models_kind():
    assert smallest_size(ModelSettings(experts=64)) == "tiny/4E"
    assert smallest_size(ModelSettings(experts=0)) == "tiny"


def test_the_small_model_reads_the_same_batches(config):
    changed = config.changed({"model": {"size": "1.7B/64E", "group_size": 32}, "mixture": {"web": 1.0}}, "test")
    small = small_config(changed)
    assert small.mixture == {"web": 1.0}
    assert (small.training.steps, small.training.batch_rows, small.model.group_size) == (100, 4, 32)
    assert (small.model.experts, small.model.model_dim) == (4, 64)


def test_a_size_that_the_mesh_does_not_divide_is_refused_by_name(version, config, run_dir):
    changes = {"mesh": {"data": 8}, "model": {"dispatcher": "einsum", "experts": 8}, "training": {"batch_rows": 8}}
    wide = config.changed(changes, "test")
    with pytest.raises(
        ConfigError, match=r"preflight\.size: tiny/4E does not fit this run \(mesh\.data: 8 does not divide"
    ):
        preflight(version, wide.resolved(version.sequence_length, "cpu"), run_dir, seed=0)
    assert not Path(run_dir).exists()


def test_a_preflight_is_kept_in_the_folder_found_again_and_stops_a_run_that_would_not_learn(version, config, run_dir):
    settings = config.resolved(version.sequence_length, "cpu").changed({"preflight": {"steps": 20}}, "test")
    answer = preflight(version, settings, run_dir, seed=0)
    assert answer["size"] == "tiny/4E"
    assert answer["first_loss"] - answer["last_loss"] > 0.2
    small_run = Path(run_dir, answer["run"])
    assert len(read_metrics(f"{small_run}/metrics.jsonl")) == 20
    assert read_run(str(small_run))["version"]["id"] == version.id
    written = (small_run / "metrics.jsonl").stat().st_mtime_ns
    assert preflight(version, settings, run_dir, seed=0) == answer
    assert (small_run / "metrics.jsonl").stat().st_mtime_ns == written
    strict = settings.changed({"preflight": {"loss_fall": 50.0}}, "test")
    with pytest.raises(PreflightError, match=r"the preflight \(tiny/4E, 20 updates\) failed: its loss went from"):
        preflight(version, strict, run_dir, seed=0)
    assert json.loads(Path(run_dir, "preflight.json").read_text())["problems"]
