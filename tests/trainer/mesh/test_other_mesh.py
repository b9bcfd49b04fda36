"""A run goes on on other meshes than it began on, with the same batches and the same losses but for rounding."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.store.errors import TERMINATED
from tests.trainer.mesh.runs import CONFIG, STEPS, end, records, start
from trainer.config import load_training_config
from trainer.loop import train
from trainer.run_folder import read_run

SAME = ("step", "batch", "tokens")
ROUNDING = 2e-4
"""Relative: what another order of float32 sums leaves after 24 updates; another batch differs by some percent."""


@pytest.fixture(scope="module")
def alone(version, tmp_path_factory):
    """One device, never stopped."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "training.toml").write_text(CONFIG)
    train(version, load_training_config(str(folder / "training.toml")), str(folder / "run"))
    return records(folder / "run")


def store_of(version) -> Path:
    return Path(version.url).parents[1]


def test_from_eight_devices_to_four_to_one(version, alone, tmp_path):
    run_dir = tmp_path / "run"
    for mesh, devices, stop in (((4, 2), 8, 8), ((2, 2), 4, 16)):
        code, said = end(start(store_of(version), run_dir, mesh, devices, stop))
        assert code == TERMINATED, said
        assert f"stopped by SIGTERM after {stop} of {STEPS} updates" in said
        assert not read_run(str(run_dir))["finished"]
    code, said = end(start(store_of(version), run_dir, (1, 1), 1))
    assert code == 0, said
    found = records(run_dir)
    assert [[record[key] for key in SAME] for record in found] == [[record[key] for key in SAME] for record in alone]
    for ours, theirs in zip(found, alone, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=ROUNDING), ours["step"]
        assert ours["auxiliary"] == pytest.approx(theirs["auxiliary"], rel=10 * ROUNDING), ours["step"]
