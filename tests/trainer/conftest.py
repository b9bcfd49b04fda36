"""A small dataset version of real text (Python's own manual), written as a build writes one."""

from __future__ import annotations

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from pathlib import Path

import pytest

from tests.trainer.small_version import write_version
from trainer.config import TrainingConfig


@pytest.fixture(scope="session")
def version(tmp_path_factory):
    return write_version(tmp_path_factory.mktemp("store"), "filtered")


@pytest.fixture(scope="session")
def other_version(tmp_path_factory):
    """The same but for the text of `web`."""
    return write_version(tmp_path_factory.mktemp("other-store"), "all", every_web_document=True)


@pytest.fixture
def config():
    return TrainingConfig.model_validate(
        {
            "version": "filtered",
            "model": {"model_dim": 32, "hidden_dim": 64, "heads": 2, "head_dim": 16, "layers": 2, "group_size": 32},
            "training": {"steps": 12, "batch_rows": 4, "checkpoint_every": 5, "log_every": 3},
        }
    )


@pytest.fixture
def run_dir(tmp_path: Path) -> str:
    return str(tmp_path / "run")
