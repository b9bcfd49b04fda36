"""A whole study on real text: corpus, six runs in two processes, scores, comparison, report; killed, and finished."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.progress import SilentDisplay
from pipelines.store.code_identity import ROOT
from tests.trainer.ablation.small_study import write_study
from trainer.ablation.run import run_study
from trainer.ablation.run_pool import StudyError, train_side_by_side
from trainer.ablation.study import load_study
from trainer.ablation.summary import verdicts

PATIENCE = 900
RUN_IT = """
import sys
from pipelines.progress import TerminalDisplay
from trainer.ablation.run import run_study
from trainer.ablation.study import load_study
run_study(load_study(sys.argv[1]), sys.argv[2], [], TerminalDisplay())
"""


class Listener(SilentDisplay):
    """Keeps what was said."""

    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


def finished_runs(store):
    runs = (path for path in (store / "runs").glob("*/evaluation.json"))
    return {path.parent.name: (path.parent / "run.json").stat().st_mtime_ns for path in runs}


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return found


def processes_with(text):
    """Return the ids of the processes whose command line has `text`."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if text in line:
                found.append(int(folder.name))
    return found


def children_of(process):
    return [int(n) for task in Path(f"/proc/{process}/task").glob("*/children") for n in task.read_text().split()]


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def finished(killed):
    path, store, _ = killed
    listener = Listener()
    study, _ = run_study(load_study(str(path)), str(store), [], listener)
    return study, listener.said


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
    }
    with pytest.raises(StudyError, match=f"exit status 1(.|\n)*{missing}/manifest.json"):
        train_side_by_side([job], 2, SilentDisplay())
