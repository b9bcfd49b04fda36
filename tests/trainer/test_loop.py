"""A run is a function of its settings: repeated, killed, resumed or moved, it gives the same bytes."""

from __future__ import annotations

import json
import shutil
import time
from hashlib import sha256
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest

import trainer.session
from pipelines.store import verification
from pipelines.store.configuration import ConfigError
from pipelines.store.errors import GlamError
from pipelines.store.files import StoreError, digest_file, read_bytes, write_json
from pipelines.store.stages import read_manifest
from pipelines.store.tfrecord import index_url
from pipelines.store.verification import check_training_contents
from pipelines.store.versions import Version
from tests.trainer.test_resume import without_seconds
from trainer.config import TrainingConfig
from trainer.data import TrainingData
from trainer.loop import retention, train
from trainer.metrics import MetricsFile, read_metrics
from trainer.profile import Profile
from trainer.run_folder import read_run, run_identity
from trainer.session import METRICS_FILE


@pytest.fixture(scope="module")
def finished(version, tmp_path_factory):
    run_dir = str(tmp_path_factory.mktemp("finished") / "run")
    config = small_config()
    return config, train(version, config, run_dir), run_dir


def small_config(**model) -> TrainingConfig:
    sizes = {"model_dim": 32, "hidden_dim": 64, "heads": 2, "head_dim": 16, "layers": 2, "group_size": 32}
    steps = {"steps": 12, "batch_rows": 4, "checkpoint_every": 5, "log_every": 3}
    return TrainingConfig.model_validate({"version": "filtered", "model": {**sizes, **model}, "training": steps})


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


def test_checkpoints_may_lie_in_another_place_behind_a_link(version, finished, tmp_path):
    config, result, _ = finished
    run_dir, elsewhere = tmp_path / "run", tmp_path / "bucket"
    for folder in (run_dir, elsewhere):
        folder.mkdir()
    (run_dir / "checkpoints").symlink_to(elsewhere)
    assert train(version, config, str(run_dir)).weights == result.weights
    assert (elsewhere / "12").is_dir()
    write_json(str(run_dir / "run.json"), read_run(str(run_dir)) | {"finished": False, "result": None})
    resumed = train(version, config, str(run_dir))  # from the checkpoint of the last update: none is left to make
    assert (resumed.steps, resumed.weights) == (12, result.weights)


def test_a_folder_of_another_run_is_refused_and_says_what_differs(version, finished):
    config, _, folder = finished
    with pytest.raises(GlamError, match=r"another run; it differs in seed\."):
        train(version, config, folder, seed=5)
    changed = config.changed({"model": {"capacity_factor": 1.0}}, "test")
    with pytest.raises(GlamError, match=r"differs in model\."):
        train(version, changed, folder)


def test_how_often_it_reports_is_not_part_of_a_run(version, finished):
    config, result, folder = finished
    changed = config.changed({"training": {"log_every": 1, "checkpoints_kept": 9}}, "test")
    assert train(version, changed, folder) == result


def test_how_often_it_makes_checkpoints_is_part_of_a_run_that_may_go_back_to_one(version, finished):
    config, _, folder = finished
    changed = config.changed({"training": {"checkpoint_every": 2}}, "test")
    with pytest.raises(GlamError, match=r"differs in training\."):
        train(version, changed, folder)
    never_back = {"stability": {"roll_backs": 0}}
    same = [run_identity(version.id, one.changed(never_back, "test"), 0) for one in (config, changed)]
    assert same[0] == same[1]


def test_signals_never_push_out_the_checkpoint_that_a_run_may_go_back_to():
    config = small_config().changed({"stability": {"healthy_after": 6, "patience": 3}}, "test")
    made = [5, 10, 15, 16, 17, 18, 19]  # regular ones, and four that signals made
    stays = retention(config).stays(made)
    assert [step for step, kept in zip(made, stays, strict=True) if kept] == [5, 10, 15, 18, 19]


def test_number_format_and_batch_are_decided_by_backend_and_version_and_part_of_a_run(version, finished):
    config, _, folder = finished
    decided = read_run(folder)["config"]
    assert (decided["model"]["activation_dtype"], decided["model"]["layer_loop"]) == ("float32", "unroll")
    by_tokens = config.changed({"training": {"batch_tokens": 4 * version.sequence_length}}, "test")
    assert train(version, by_tokens, folder).steps == 12  # the same run
    on_cpu, on_gpu = (run_identity(version.id, config.resolved(32, backend), 0) for backend in ("cpu", "gpu"))
    assert on_gpu["model"]["activation_dtype"] == "bfloat16"
    assert on_cpu != on_gpu


def copy_of(version: Version, folder: Path) -> Version:
    shutil.copytree(version.url, folder)
    return Version(str(folder), read_manifest(str(folder), "version"))


def damaged(sound: bytes) -> bytes:
    return bytes(byte ^ (position % 40 == 20) for position, byte in enumerate(sound))


def test_a_corpus_that_was_changed_in_its_place_is_refused(version, config, run_dir, tmp_path):
    copy = copy_of(version, tmp_path / "version")
    shard = Path(copy.url, "train/web/part-00001-of-00002.tfrecord")
    sound = shard.read_bytes()
    shard.write_bytes(sound[:-1])
    with pytest.raises(StoreError, match=r"part-00001-of-00002\.tfrecord: \d+ bytes, the manifest says \d+"):
        train(copy, config, run_dir)
    shard.write_bytes(damaged(sound))
    with pytest.raises(StoreError, match=r"part-00001-of-00002\.tfrecord: sha256 \w+, the manifest says \w+"):
        train(copy, config, run_dir)
    shard.write_bytes(sound)
    copy.manifest["files"][0]["sha256"] = "0" * 64
    with pytest.raises(StoreError, match="the manifest was changed"):
        train(copy, config, run_dir)


def test_a_sound_shard_of_the_same_size_in_the_place_of_another_is_refused_at_start_and_when_a_run_goes_on(
    version, run_dir, tmp_path
):
    copy = copy_of(version, tmp_path / "version")
    shard = Path(copy.url, "train/web/part-00000-of-00002.tfrecord")
    sound = shard.read_bytes()
    bounds = np.frombuffer(read_bytes(index_url(str(shard))), "<u8").tolist()
    lengths = [end - start for start, end in pairwise(bounds)]
    one, other = next((a, b) for a, b in combinations(range(len(lengths)), 2) if lengths[a] == lengths[b])
    records = [sound[start:end] for start, end in pairwise(bounds)]
    records[one], records[other] = records[other], records[one]
    exchanged = b"".join(records)
    assert len(exchanged) == len(sound)
    assert exchanged != sound
    message = (
        rf"{shard.name}: sha256 {sha256(exchanged).hexdigest()}, the manifest says {sha256(sound).hexdigest()}: the "
        r"corpus was changed since it was built; `glam verify \w+` says what differs; bring the files back, or delete"
    )

    def stop_at_six(done: int, *_: object) -> None:
        if done == 6:
            raise KeyboardInterrupt

    shard.write_bytes(exchanged)
    with pytest.raises(StoreError, match=message):
        train(copy, small_config(), run_dir)
    assert not Path(run_dir, METRICS_FILE).exists()
    shard.write_bytes(sound)
    with pytest.raises(KeyboardInterrupt):
        train(copy, small_config(), run_dir, on_step=stop_at_six)
    shard.write_bytes(exchanged)
    with pytest.raises(StoreError, match=message):
        train(copy, small_config(), run_dir)
    books_alone = small_config().changed({"mixture": {"books": 1.0}}, "test")
    train(copy, books_alone, str(tmp_path / "books"))  # does not read that shard


def test_of_a_large_corpus_a_sample_may_be_hashed(version, monkeypatch):
    hashed = []
    monkeypatch.setattr(verification, "digest_file", lambda url, _: hashed.append(url) or digest_file(url))
    check_training_contents(version, ["books", "web"], 1.0, seed=0)
    every = sorted(hashed)
    assert [url for url in every if url.endswith(".tfrecord")] == sorted(
        shard for part in version.components.values() for shard in part.shards
    )
    hashed.clear()
    for process in range(3):
        check_training_contents(version, ["books", "web"], 1.0, seed=0, process=process, processes=3)
    assert sorted(hashed) == every, "processes that train together hash each file once"
    hashed.clear()
    check_training_contents(version, ["books", "web"], 0.01, seed=0)
    assert len(hashed) == 1
    config = small_config()
    sampled = config.changed({"training": {"verify_share": 0.01}}, "test")
    assert run_identity(version.id, sampled, 0) == run_identity(version.id, config, 0)


def test_a_record_that_is_damaged_while_a_run_goes_on_stops_it(version, run_dir, tmp_path):
    copy = copy_of(version, tmp_path / "version")

    def damage(done: int, *_: object) -> None:
        if done == 3:
            for shard in Path(copy.url, "train").rglob("*.tfrecord"):
                content = damaged(shard.read_bytes())
                with shard.open("r+b") as file:  # in its place, as the run has it mapped
                    file.write(content)

    with pytest.raises(StoreError, match=r"\.tfrecord: record \d+ is damaged"):
        train(copy, small_config(), run_dir, on_step=damage)


class SlowData(TrainingData):
    """Data on a slow disk."""

    def batch(self, step):
        time.sleep(0.25)
        return super().batch(step)


def test_an_input_that_starves_the_step_is_reported(version, finished, run_dir, monkeypatch):
    _, fast, folder = finished
    monkeypatch.setattr(trainer.session, "TrainingData", SlowData)
    slow = train(version, small_config(), run_dir)
    assert slow.input_seconds > 0.5
    assert slow.input_share == slow.input_seconds / slow.seconds
    for result, made in ((slow, run_dir), (fast, folder)):
        waited = [line["input_seconds"] for line in read_metrics(f"{made}/metrics.jsonl")]
        assert waited == sorted(waited)
        assert waited[-1] <= result.input_seconds + 1e-3


def test_a_profile_is_a_trace_in_the_folder_and_changes_nothing(version, finished, run_dir):
    config, result, _ = finished
    profiled = train(version, config, run_dir, profile=Profile(2, 3))
    assert profiled.weights == result.weights
    assert list(Path(run_dir, "profile").rglob("*.xplane.pb"))


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
