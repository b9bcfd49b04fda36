"""What is told of a run, from the lines of its metrics."""

import pytest

from trainer.ablation.run_record import CURVE_POINTS, learning_curve, settled_routing


def line(step, loss, **more):
    return {"step": step, "tokens": step * 1024, "loss": loss, **more}


def test_a_short_curve_has_every_update():
    assert learning_curve([line(1, 5.0), line(2, 4.0)]) == [[1024, 5.0], [2048, 4.0]]


def test_a_long_curve_has_means_between_its_points_and_ends_at_the_end():
    points = learning_curve([line(step, float(step % 2)) for step in range(1, 1001)])
    assert len(points) == CURVE_POINTS
    assert points[-1] == [1000 * 1024, 0.5]


def test_an_update_without_a_finite_loss_is_no_point():
    assert learning_curve([line(1, 5.0), line(2, None), line(3, 4.0)]) == [[1024, 5.0], [3072, 4.0]]


def test_expert_load_is_the_mean_of_the_second_half():
    early = [line(n, 5.0, load=[[1.0, 0.0]], dropped=[[0.9, 0.9]]) for n in (1, 2)]
    late = [
        line(3, 4.0, load=[[0.6, 0.4]], dropped=[[0.0, 0.1]]),
        line(4, 4.0, load=[[0.4, 0.6]], dropped=[[0.0, 0.3]]),
    ]
    routing = settled_routing(early + late)
    assert routing["expert_load"] == [[0.5, 0.5]]
    assert routing["dropped_share"] == pytest.approx(0.1)


def test_a_dense_model_has_no_experts_to_tell_of():
    assert settled_routing([line(1, 5.0)]) == {"expert_load": [], "dropped_share": 0.0}
