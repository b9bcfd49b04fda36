"""A line of metrics is what the update did: each loss apart, and of each layer what its router did with the tokens."""

from __future__ import annotations

import numpy as np

from trainer.metrics import to_record
from trainer.model.decoder import Routers
from trainer.model.loss import Losses
from trainer.model.routing import RouterCounts, RouterLosses
from trainer.step import StepMetrics

LOAD = [
    [[3, 1, 0, 0], [0, 2, 2, 0]],  # four first and four second choices; nobody chose the last expert
    [[1, 1, 1, 1], [0, 0, 1, 1]],  # two second choices were not sent
]
DROPPED = [[1, 2], [0, 1]]


def step_metrics(cross_entropy: float = 2.5, routers: bool = True) -> StepMetrics:
    counts = RouterCounts(np.array(LOAD), np.array(DROPPED), np.array([1.25, 0.5], np.float32))
    by_layer = RouterLosses(np.array([1.5, 1.75], np.float32), np.array([2.0, 4.0], np.float32))
    return StepMetrics(
        losses=Losses(*np.array([cross_entropy, 30.0, 3.25, 6.0], np.float32)),
        routers=Routers(by_layer, counts) if routers else None,
        tokens=np.int32(100),
        learning_rate=np.float32(0.1),
        gradient_norm=np.float32(0.75),
        skipped=np.bool_(False),
    )


def test_a_line_tells_load_drops_dead_experts_and_entropy_of_two_layers():
    line = to_record(step_metrics(), step=7, batch=9, tokens_before=600, seconds=12.3456, input_seconds=0.5)
    assert line == {
        "step": 7,
        "batch": 9,
        "tokens": 700,
        "loss": 2.5,
        "output_z": 30.0,
        "auxiliary": 3.25,
        "router_z": 6.0,
        "learning_rate": 0.1,
        "gradient_norm": 0.75,
        "skipped": False,
        "seconds": 12.346,
        "input_seconds": 0.5,
        "load": [[0.375, 0.375, 0.25, 0.0], [0.16667, 0.16667, 0.33333, 0.33333]],
        "dropped": [[0.25, 0.5], [0.0, 0.5]],
        "dead": [1, 0],
        "router_entropy": [1.25, 0.5],
    }


def test_a_loss_that_is_not_finite_is_null_and_a_dense_model_has_no_routers():
    line = to_record(step_metrics(float("nan"), routers=False), 1, 0, 0, 1.0, 0.0)
    assert line["loss"] is None
    assert not {"load", "dropped", "dead", "router_entropy"} & set(line)
