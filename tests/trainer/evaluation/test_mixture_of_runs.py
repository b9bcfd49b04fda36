"""`glam mixture weights --run`: weights from the held-out bits per byte of real runs, each of one component."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.store.errors import GlamError
from tests.glam.running import answer, outcome
from trainer.config import TrainingConfig
from trainer.evaluation.bits_per_byte import evaluate
from trainer.loop import train

STEPS = {"books": 2, "web": 5}


@pytest.fixture(scope="module")
def runs(version, run, tmp_path_factory):
    """The folder of a short run of each component."""
    folder = tmp_path_factory.mktemp("one-component")
    found = {}
    for component, steps in STEPS.items():
        changed = {"mixture": {component: 1.0}, "training": {"steps": steps, "batch_rows": 4}}
        config = TrainingConfig.model_validate(
            {"version": "filtered", "model": run[0].model.model_dump(exclude_unset=True), **changed}
        )
        found[component] = str(folder / component)
        train(version, config, found[component])
    return found


@pytest.fixture
def weights(version):
    """The command on the version, which has the tokens of both components, up to its `--run` options."""
    store = Path(version.url).parents[1]
    return ("mixture", "weights", version.id, "--store", store, "--budget", "20K", "--max-epochs", 100)


def named(*folders):
    return [word for folder in folders for word in ("--run", folder)]


def test_a_component_has_the_bits_per_byte_of_its_run(version, runs, weights):
    of_target = answer(*weights, *named(*runs.values()), "--target", "reference")["components"]
    of_all = answer(*weights, *named(*reversed(runs.values())))["components"]
    assert set(of_target) == set(of_all) == set(STEPS)
    for component, folder in runs.items():
        bits = {source: scores.bits_per_byte for source, scores in evaluate(folder, version).items()}
        assert bits["manual"] != pytest.approx(bits["reference"], abs=1e-4)
        assert of_target[component]["score"] == pytest.approx(bits["reference"], abs=1e-6)
        assert of_all[component]["score"] == pytest.approx((bits["manual"] + bits["reference"]) / 2, abs=1e-6)
    better = min(STEPS, key=lambda component: of_target[component]["score"])
    assert max(STEPS, key=lambda component: of_target[component]["weight"]) == better
    assert sum(entry["weight"] for entry in of_target.values()) == pytest.approx(1)


def test_a_target_that_is_not_held_out_is_refused_with_those_that_are(runs, weights):
    with pytest.raises(GlamError, match=r"--target lee: version filtered holds out manual, reference$"):
        outcome(*weights, *named(*runs.values()), "--target", "reference", "--target", "lee")


def test_a_run_of_two_components_is_refused(run, runs, weights):
    with pytest.raises(GlamError, match=r": trained on books, web; give one run for each component, trained on it"):
        outcome(*weights, *named(runs["books"], run[1]))


def test_a_component_without_a_run_is_named(runs, weights):
    with pytest.raises(GlamError, match="no score for books; train a small model on each component alone"):
        outcome(*weights, *named(runs["web"]))


def test_two_runs_of_one_component_are_refused(runs, weights):
    with pytest.raises(GlamError, match="trained on web; give one run for each component"):
        outcome(*weights, *named(runs["web"], runs["web"]))
