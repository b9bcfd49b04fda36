"""A long training in closed form: the paper's own figures follow from its own assumptions."""

from __future__ import annotations

import pytest

from trainer.config import ModelSettings
from trainer.long_training import PAPER, PAPER_CHIPS, TrainingAssumptions, energy, plan_training
from trainer.pod.topology import parse_topology

ASSUMED = TrainingAssumptions()


def planned(tokens: int, **assumed):
    model = ModelSettings.model_validate({"size": "64B/64E"})
    topology = parse_topology("v4:8x8x16")
    return plan_training(model, 256_000, 1024, tokens, topology, ASSUMED.model_copy(update=assumed))


def test_the_papers_chips_hours_watts_and_pue_give_its_energy():
    run = PAPER[0]
    assert energy(PAPER_CHIPS, run.hours, ASSUMED) == pytest.approx(run.megawatt_hours, rel=0.005)


@pytest.mark.parametrize("run", PAPER)
def test_a_plan_of_the_papers_trainings_comes_near_them(run):
    plan = planned(run.tokens)
    assert plan.megawatt_hours == pytest.approx(run.megawatt_hours, rel=0.05)
    if run.hours:
        assert plan.hours == pytest.approx(run.hours, rel=0.05)


def test_serving_costs_what_the_forward_pass_does():
    plan = planned(10**9)
    assert plan.size.forward_flops / 1e9 == pytest.approx(197, abs=1)  # the paper prints 180
    assert plan.to_json()["serving_bytes"] == 2 * plan.size.parameters


def test_the_last_update_counts_though_its_batch_is_small():
    assert planned((1 << 20) + 1).steps == 2


def test_the_floor_is_the_time_at_the_peak():
    plan = planned(1 << 20, mfu=1.0)
    assert plan.hours * 3600 == pytest.approx(plan.step_floor)
    assert plan.step_floor == pytest.approx((1 << 20) * plan.size.training_flops / (1024 * 275e12))
