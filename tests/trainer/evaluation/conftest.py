"""One tiny run for everything that is evaluated."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def run(version, tmp_path_factory):
    from trainer.config import TrainingConfig
    from trainer.loop import train

    sizes = {"model_dim": 32, "hidden_dim": 64, "heads": 2, "head_dim": 16, "layers": 2, "group_size": 32}
    config = TrainingConfig.model_validate(
        {"version": "filtered", "model": sizes, "training": {"steps": 12, "batch_rows": 4}}
    )
    run_dir = str(tmp_path_factory.mktemp("evaluated") / "run")
    train(version, config, run_dir)
    return config, run_dir
