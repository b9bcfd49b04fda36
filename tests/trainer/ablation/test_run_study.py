"""A whole study on real text: corpus, six runs in two processes, scores, comparison, report; killed, and finished."""

import json
import os
import signal

import pytest

from pipelines.progress import SilentDisplay
from tests.trainer.ablation.running import Listener, children_of, finished_runs, processes_with
from trainer.ablation.run import run_study
from trainer.ablation.run_pool import StudyError, train_side_by_side
from trainer.ablation.study import load_study
from trainer.ablation.summary import verdicts


def test_a_killed_study_goes_on_with_the_runs_that_it_lacks(killed, finished):
    _, store, before = killed
    assert 1 <= len(before) < 6
    assert f"  runs: {len(before)} of 6 found, not computed again" in finished[1]
    after = finished_runs(store)
    assert len(after) == 6
    assert {name: after[name] for name in before} == before


def test_every_arm_has_a_run_for_every_seed_with_scores_and_costs(finished):
    for arm in finished[0]["arms"]:
        assert [run["seed"] for run in arm["runs"]] == [0, 1, 2]
        for run in arm["runs"]:
            assert set(run["heldout"]) == {"statements", "expressions", "types"}
            assert 0.9 * 12 * 4 * 32 < run["tokens"] <= 12 * 4 * 32  # a padded record has fewer targets
            assert run["flops"] == 12 * 4 * 32 * run["cost"]["training_flops"]
            assert run["evaluation"]["flops"] == run["evaluation"]["tokens"] * run["cost"]["forward_flops"]
            assert run["curve"][-1][1] < run["curve"][0][1]


def test_every_domain_is_compared_with_both_intervals(finished):
    answer = verdicts(finished[0])
    assert [row["domain"] for row in answer["verdicts"]] == ["curated", "books", "web", "types"]
    for row in answer["verdicts"]:
        assert row["comparison"] == "wide vs narrow"
        assert row["low"] < row["difference"] < row["high"]
    assert answer["verdicts"][0]["difference"] == answer["verdicts"][1]["difference"]  # curated is books alone here
    for result in finished[0]["comparisons"][0]["results"]:
        assert result["bootstrap_low"] <= result["difference"] <= result["bootstrap_high"]
        score = {a["name"]: [r["heldout"] for r in a["runs"]] for a in finished[0]["arms"]}
        if result["domain"] == "web":
            by_hand = [w["statements"] - n["statements"] for w, n in zip(score["wide"], score["narrow"], strict=True)]
            assert result["by_seed"] == pytest.approx(by_hand, abs=2e-6)


def test_the_study_and_its_report_lie_in_the_store(killed, finished):
    folder = killed[1] / "studies" / finished[0]["id"]
    assert json.loads((folder / "study.json").read_text()) == finished[0]
    assert "Do wider layers help?" in (folder / "report.html").read_text()


def test_a_finished_study_is_found(killed, finished):
    path, store, _ = killed
    listener = Listener()
    study, made = run_study(load_study(str(path)), str(store), [], listener)
    assert study == finished[0]
    assert all(stage.reused for stage in made.stages)
    assert f"  study small {study['id']}: found, not computed again" in listener.said


def test_a_worker_that_dies_is_told_with_its_run(killed, tmp_path):
    version = next((killed[1] / "versions").iterdir())
    config = load_study(str(killed[0])).trainings["wide"].model_dump()
    job = {
        "run_dir": str(tmp_path / "run"),
        "arm": "wide",
        "seed": 7,
        "version": str(version),
        "config": config,
        "tokens": 1,
        "score": True,
        "expert_documents": 0,
    }

    class Killer(SilentDisplay):
        def move(self, done, detail=""):  # noqa: ARG002
            for child in children_of(os.getpid()):
                if child in processes_with("trainer.ablation.worker"):
                    os.kill(child, signal.SIGKILL)

    with pytest.raises(StudyError, match=r"arm wide, seed 7\) was killed by signal 9"):
        train_side_by_side([job], 1, Killer())


def test_a_worker_says_what_is_wrong_with_its_run(tmp_path, killed):
    config = load_study(str(killed[0])).trainings["wide"].model_dump()
    missing = str(tmp_path / "versions" / "none")
    job = {
        "run_dir": str(tmp_path / "run"),
        "arm": "wide",
        "seed": 0,
        "version": missing,
        "config": config,
        "tokens": 1,
        "score": True,
        "expert_documents": 0,
    }
    with pytest.raises(StudyError, match=f"exit status 1(.|\n)*{missing}/manifest.json"):
        train_side_by_side([job], 2, SilentDisplay())
