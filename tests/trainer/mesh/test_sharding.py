"""Sharded mathematics is the mathematics of one device, and what should be split is split."""

from __future__ import annotations

import math

import pytest

from pipelines.store.configuration import ConfigError
from tests.trainer.mesh.fake_devices import on_devices
from trainer.config import MeshSettings, TrainingConfig
from trainer.loop import train
from trainer.sharding import ACTIVATIONS, PARAMETERS, check_mesh, constrain, make_mesh

MESHES = [[8, 1], [4, 2], [2, 4], [1, 8]]


@pytest.fixture(scope="module", params=["mixture", "dense"])
def compared(request):
    return request.param, on_devices(8, "steps", "compare", request.param, MESHES)


def test_losses_and_gradients_on_every_mesh_are_those_of_one_device(compared):
    _, (alone, *meshes) = compared
    assert len(meshes) == len(MESHES)
    for shape, found in zip(MESHES, meshes, strict=True):
        assert found["spread"] == 8, shape
        assert found["losses"] == pytest.approx(alone["losses"], rel=1e-5, abs=1e-6), shape
        assert found["gradients"].keys() == alone["gradients"].keys()
        assert max(found["gradients"].values()) < 2e-5, (shape, found["gradients"])


def test_the_auxiliary_loss_and_the_load_do_not_change_with_the_mesh(compared):
    kind, (alone, *meshes) = compared
    auxiliary = 2
    for found in meshes:
        assert found["losses"][auxiliary] == pytest.approx(alone["losses"][auxiliary], rel=1e-6)
        assert found["load"] == alone["load"]
    assert (alone["losses"][auxiliary] > 0.9) == (kind == "mixture")


@pytest.fixture(scope="module")
def shares():
    return on_devices(8, "steps", "shares", "mixture", [4, 2])


def test_every_expert_and_its_optimizer_state_lies_on_its_own_devices(shares):
    experts = {name: held for name, held in shares.items() if "even_layers/feed_forward/" in name}
    for matrix in ("input", "output"):
        name = f"even_layers/feed_forward/{matrix}"
        assert experts[name] == [1 / 8, 1 / 8], "experts over data, hidden width over model"
        # the model width is not split, so the moments over rows or columns that keep it are split over data alone
        moments = sorted(held for key, found in experts.items() if key.startswith(f"{name} over") for held in found)
        assert moments == [1 / 8, 1 / 8, 1 / 4, 1 / 4]


def test_no_large_tensor_is_whole_on_a_device(shares):
    small = ("norm", "norm full", "relative_bias", "relative_bias full", "router", "router full", "router over_rows")
    for name, held in shares.items():
        assert held[0] == held[1], f"{name}: the update moved it"
        if not name.endswith(small):
            assert max(held) <= 1 / 2, f"{name}: a device holds {max(held)} of it"
            assert " " in name or max(held) == 1 / 8, f"{name}: a parameter is split both ways"


def test_the_table_has_one_row_for_every_parameter_and_letters_for_every_axis():
    for (_, letters), spec in PARAMETERS.items():
        assert len(spec) in (1, len(letters))
    for layout, spec in ACTIVATIONS.items():
        assert len(spec) == len(layout.split(" ")[0]), layout
    assert all(math.prod(spec.count(axis) <= 1 for axis in ("data", "model")) for spec in ACTIVATIONS.values())


def test_without_a_mesh_nothing_is_constrained():
    x = object()
    assert constrain(x, "BSM") is x
    assert make_mesh(MeshSettings()) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mesh": {"data": 8}, "training": {"batch_rows": 8}}, r"mesh\.data: 8 does not divide model\.experts, 4"),
        ({"mesh": {"model": 4}}, r"mesh\.model: 4 does not divide model\.heads, 2"),
        ({"mesh": {"model": 3}}, r"mesh\.model: 3 does not divide model\.model_dim, 32"),
        (
            {"mesh": {"data": 2}, "model": {"dispatcher": "gather"}},
            r"model\.dispatcher: `gather` .* set it to `einsum`",
        ),
        ({"mesh": {"data": 4}, "training": {"batch_rows": 6}}, r"mesh\.data: 4 does not divide training\.batch_rows"),
    ],
)
def test_what_a_mesh_cannot_divide_is_refused_by_key_and_value(config, changes, message):
    einsum = config.changed({"model": {"dispatcher": "einsum"}}, "test")
    with pytest.raises(ConfigError, match=message):
        check_mesh(einsum.changed(changes, "test"), 400, 32)


def test_a_mesh_of_more_devices_than_there_are_is_refused(version, config: TrainingConfig, run_dir):
    wide = config.changed({"mesh": {"data": 2}, "model": {"dispatcher": "einsum"}}, "test")
    with pytest.raises(ConfigError, match=r"asks for 2 devices, there are 1 in 1 process; set mesh\.data"):
        train(version, wide, run_dir)
