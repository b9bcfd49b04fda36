"""`glam plan` on the paper's corpus and on a corpus that is there: what it prints, assumes, refuses and gets wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.planning.assumptions import CorpusAssumptions
from pipelines.planning.corpus import STAGES
from pipelines.store.errors import GlamError
from tests.glam.running import answer, run
from trainer.long_training import TrainingAssumptions

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "glam_1p6t.toml"
ASSUMED = CorpusAssumptions.model_fields | TrainingAssumptions.model_fields


@pytest.fixture(scope="module")
def planned():
    return answer("plan", CONFIG)


def test_everything_that_was_asked_for_is_in_the_answer(planned):
    corpus, training = planned["corpus"], planned["training"]
    assert set(corpus["stages"]) == set(STAGES)
    assert all(stage["cpu_hours"] > 0 for name, stage in corpus["stages"].items() if name != "decontaminate")
    assert corpus["components"]["web"]["extracted"] > 100 * corpus["components"]["web"]["packed"]
    assert planned["mixture"]["wikipedia"]["epochs"] == pytest.approx(12)
    assert planned["mixture"]["wikipedia"]["shortfall"] == 33_000_000_000
    assert planned["mixture"]["news"]["shortfall"] == 0
    assert training["chips"] == 1024
    assert training["megawatt_hours"] == pytest.approx(456, rel=0.05)  # the paper's
    assert set(planned["assumptions"]) == set(ASSUMED)


def test_every_assumption_is_printed_with_its_meaning():
    said = " ".join(run("plan", CONFIG).split())
    for name, field in ASSUMED.items():
        assert f"{name} {field.default:,.4g} {field.description}" in said or (
            f"{name} {field.default:,} {field.description}" in said
        )
    assert "1,024 chips x 574 h x 326 W x 1.11 = 213 MWh (213 MWh printed)" in said


@pytest.mark.parametrize("name", sorted(set(ASSUMED) - {"state_bytes", "serving_bytes", "batch_tokens"}))
def test_every_assumption_moves_the_plan(planned, name):
    value = 1 if ASSUMED[name].default != 1 else 0.5
    if name in ("pue", "worker_cores"):
        value = 2
    changed = answer("plan", CONFIG, "--assume", f"{name}={value}")
    moved = {part: changed[part] != planned[part] for part in ("corpus", "training")}
    assert moved == {
        "corpus": name in CorpusAssumptions.model_fields,
        "training": name in TrainingAssumptions.model_fields,
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--assume", "sped=2"), "--assume sped: no such assumption; there are batch_tokens, busy,"),
        (("--assume", "busy"), "--assume busy: write NAME=VALUE"),
        (("--assume", "busy=1.5"), "--assume: busy: Input should be less than or equal to 1"),
        (("--model", "3B"), "--model: "),
        (("--topology", "v4:8"), "--topology v4:8: write GENERATION:SHAPE"),
        (("--budget", "much"), "--budget much: "),
        (("--rates", "none.json"), "none.json: cannot be read"),
    ],
)
def test_what_cannot_be_meant_is_refused(options, message):
    with pytest.raises(GlamError, match=message):
        run("plan", CONFIG, *options)


def test_a_build_that_was_measured_is_predicted_with_an_error_by_stage(small_build, small_config):
    made, store = small_build
    version = made.versions["filtered"]
    checked = answer("plan", small_config, "--check", version.id, "--store", store)
    stages = checked["stages"]
    assert set(stages) == set(STAGES) - {"decontaminate"}
    measured = sum(
        stage.manifest["side"]["cpu_seconds"]
        for stage in made.stages
        if f"{stage.stage}/{stage.fingerprint}" in version.manifest["stages"]
        and stage.stage.removesuffix("_heldout") in stages
    )
    assert checked["measured"] == pytest.approx(measured)
    assert checked["predicted"] == pytest.approx(sum(stage["predicted"] for stage in stages.values()))
    assert checked["error"] == pytest.approx(checked["predicted"] / checked["measured"] - 1)
    assert "error" in run("plan", small_config, "--check", version.id, "--store", store)
