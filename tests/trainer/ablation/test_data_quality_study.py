"""The paper's experiment on data quality, as a study: it loads and is planned without any data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from glam.main import app
from trainer.ablation.planning import plan
from trainer.ablation.study import load_study

ROOT = Path(__file__).parents[3]
STUDY = str(ROOT / "configs" / "studies" / "glam_data_quality.toml")
TABLE_3 = {"web": 0.42, "wikipedia": 0.06, "conversations": 0.28, "forums": 0.02, "books": 0.20, "news": 0.02}


def test_the_arms_differ_in_their_web_pages_alone():
    study = load_study(STUDY)
    filtered, unfiltered = study.trainings["filtered"], study.trainings["unfiltered"]
    assert filtered.model_copy(update={"version": "unfiltered"}) == unfiltered
    assert {name: part.weight for name, part in study.corpora["filtered"].mixture.items()} == TABLE_3
    web = {name: version["web"] for name, version in study.corpora["filtered"].model_dump()["versions"].items()}
    assert web == {"filtered": "filtered", "unfiltered": "all"}


def test_the_plan_has_tokens_epochs_chips_and_days():
    answer = plan(load_study(STUDY))
    filtered, unfiltered = (arm["epochs"] for arm in answer["arms"])
    assert answer["tokens"] == 6 * 267_029 * 1_048_576
    assert filtered["web"] == pytest.approx(0.42 * 280e9 / 143e9, rel=1e-3)
    assert unfiltered["web"] == pytest.approx(0.42 * 280e9 / 7e12, abs=1e-4)
    assert {name: epochs for name, epochs in filtered.items() if name != "web"} == {
        name: epochs for name, epochs in unfiltered.items() if name != "web"
    }
    assert filtered["wikipedia"] == pytest.approx(0.06 * 280e9 / 3e9, rel=1e-3)
    assert answer["chips"] == 128
    assert answer["days"] == pytest.approx(answer["flops"] / (128 * 275e12 * 0.3) / 86400, abs=0.1)


def test_the_dry_run_needs_no_data():
    found = CliRunner().invoke(app, ["ablate", STUDY, "--dry-run", "--json"])
    assert found.exit_code == 0, found.exception
    answer = json.loads(found.stdout.splitlines()[-1])
    assert (answer["runs"], answer["chips"]) == (6, 128)
    assert "wikipedia 5.6" in found.stderr
    assert "On 128 chips all runs, one after the other, take" in found.stderr


def test_pod_check_compiles_the_step_of_this_study_for_its_slice():
    study = load_study(STUDY)
    training = Path(STUDY).parent.joinpath(study.study.training).resolve().relative_to(ROOT)
    assert f"glam compile {training} --topology {study.study.slice.topology} --limit" in (ROOT / "Makefile").read_text()
