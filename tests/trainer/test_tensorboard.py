"""What TensorBoard shows is what metrics.jsonl says, and nothing that is no longer part of the run."""

from __future__ import annotations

import pytest

from pipelines.store.errors import GlamError
from tests.trainer.board import board_events, board_values
from trainer.metrics import MetricsFile
from trainer.peak import known_peak, measure, peak
from trainer.profile import Profile
from trainer.tensorboard import TensorBoard


def line(step: int, loss: float | None = 4.0) -> dict:
    losses = {"loss": loss, "output_z": 9.0, "auxiliary": 2.5, "router_z": 0.0}
    rest = {"learning_rate": 0.1, "gradient_norm": 1.0, "skipped": loss is None, "tokens": 100 * step}
    routers = {
        "load": [[0.5, 0.25, 0.25, 0.0], [0.25] * 4],
        "dropped": [[0.0, 0.5], [0.0, 0.125]],
        "dead": [1, 0],
        "router_entropy": [1.25, 0.5],
    }
    return {"step": step, "batch": step, **losses, **rest, "seconds": 2.0 * step, "input_seconds": 0.5, **routers}


@pytest.fixture
def metrics(tmp_path):
    board = TensorBoard(str(tmp_path), report_every=2)
    file = MetricsFile(str(tmp_path / "metrics.jsonl"), 0, board)
    for step in range(1, 5):
        file.add(line(step, None if step == 3 else 4.0 - step))
    file.flush()
    return file


def shown(run_dir) -> dict[int, dict[str, float]]:
    return {event.step: board_values(event) for event in board_events(str(run_dir)) if event.HasField("summary")}


def test_an_update_is_an_event_with_its_losses_and_its_routers_by_layer(metrics, tmp_path):
    metrics.close()
    values = shown(tmp_path)
    assert list(values) == [1, 2, 3, 4]
    assert values[4]["loss/cross_entropy"] == 0.0
    assert "loss/cross_entropy" not in values[3]  # it was not finite
    assert values[3]["optimizer/skipped"] == 1
    assert values[1]["layer_00/largest_load"] == 2.0
    assert values[1]["layer_02/largest_load"] == 1.0
    assert (values[1]["layer_00/dead_experts"], values[1]["layer_02/dead_experts"]) == (1, 0)
    assert (values[1]["layer_00/dropped_first"], values[1]["layer_00/dropped_second"]) == (0.0, 0.5)
    assert values[1]["layer_02/router_entropy"] == 0.5


def test_every_report_has_the_load_by_expert(metrics, tmp_path):
    metrics.close()
    loads = {
        event.step: list(value.histo.bucket)
        for event in board_events(str(tmp_path))
        for value in event.summary.value
        if value.tag == "layer_00/load"
    }
    assert loads == {2: [0.5, 0.25, 0.25, 0.0], 4: [0.5, 0.25, 0.25, 0.0]}


def test_what_a_roll_back_or_a_resumed_run_takes_back_is_not_shown(metrics, tmp_path):
    metrics.cut(2)  # a roll-back
    metrics.add(line(3, 1.5))
    metrics.flush()
    assert list(shown(tmp_path)) == [1, 2, 3]
    assert shown(tmp_path)[3]["loss/cross_entropy"] == 1.5
    metrics.close()
    MetricsFile(str(tmp_path / "metrics.jsonl"), 2, TensorBoard(str(tmp_path), 2)).close()  # resumed from update 2
    assert list(shown(tmp_path)) == [1, 2]
    first, second, *_ = board_events(str(tmp_path))
    assert first.file_version == "brain.Event:2"
    assert second.session_log.status == second.session_log.START  # who looks on forgets what was shown before


def test_the_time_of_an_event_is_that_of_its_update(metrics, tmp_path):
    metrics.close()
    times = [event.wall_time for event in board_events(str(tmp_path)) if event.HasField("summary")]
    assert [later - times[0] for later in times] == pytest.approx([0, 2, 4, 6])


@pytest.mark.parametrize(
    ("kind", "teraflops"),
    [
        *(("NVIDIA H100 80GB HBM3", 989.4), ("NVIDIA H100 PCIe", 756), ("NVIDIA A100-SXM4-80GB", 312)),
        *(("NVIDIA L40S", 362), ("TPU v4", 275), ("TPU v5 lite", 197), ("TPU v5p", 459)),
        *(("NVIDIA L40", None), ("Radeon", None)),
    ],
)
def test_the_peak_of_a_device_that_is_known(kind, teraflops):
    found = known_peak(kind)
    assert (found and found.flops) == (teraflops and teraflops * 1e12)


def test_the_peak_of_a_mesh_is_that_of_all_its_devices():
    assert known_peak("TPU v4", 1024) == (1024 * 275e12, "1,024 × TPU v4, dense bfloat16")


def test_a_peak_is_given_or_measured():
    assert peak(312e12).flops == 312e12
    assert measure(128, 0.01) > 1e8
    with pytest.raises(GlamError, match="give FLOPs a second above 0"):
        peak(0.0)


def test_a_profile_is_an_update_or_a_first_and_a_last():
    assert Profile.parse("7") == (7, 7)
    assert Profile.parse("7:9") == (7, 9)
    for wrong in ("0", "a", "3:", "1:2:3"):
        with pytest.raises(GlamError, match=f"--profile {wrong}: give an update"):
            Profile.parse(wrong)
    with pytest.raises(GlamError, match="--profile 9:7: the last update, 7, is before the first, 9; give FIRST:LAST"):
        Profile.parse("9:7")
