from __future__ import annotations

import pytest

from tests.trainer.mesh.runs import CONFIG, records
from trainer.config import load_training_config
from trainer.loop import train


@pytest.fixture(scope="session")
def run_alone(version, tmp_path_factory):
    """The folder of a run on one device that was never stopped."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "training.toml").write_text(CONFIG)
    train(version, load_training_config(str(folder / "training.toml")), str(folder / "run"))
    return folder / "run"


@pytest.fixture(scope="session")
def alone(run_alone):
    """The metrics of that run."""
    return records(run_alone)
