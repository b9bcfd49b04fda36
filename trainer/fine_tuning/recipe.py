"""What decides a fine-tuning, without making it. Importing this module does not import JAX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.store.code_identity import code_identity
from pipelines.store.configuration import merge
from trainer.config import TrainingConfig
from trainer.fine_tuning.settings import FineTuningSettings


def tuned_config(
    parent: Mapping[str, Any], settings: FineTuningSettings, changes: Mapping[str, Any], place: str
) -> TrainingConfig:
    """Return the configuration of a fine-tuned run: the parent's model, apart from its packed documents, and another
    rate; its steps are those of `settings`, or the parent's where that leaves them to the epochs.

    Args:
        parent: the configuration of the run that is gone on with.
        settings: how.
        changes: over what `settings` makes of it.
        place: for errors.

    Raises:
        ConfigError: when a change is refused.
    """
    steps = {"steps": settings.steps} if settings.steps else {}
    made = {
        "model": {"attend_across_documents": False},
        "optimizer": {"learning_rate": settings.learning_rate, "schedule": "linear"},
        "training": {"batch_rows": settings.batch_rows, "seed": settings.seed, **steps},
    }
    base = TrainingConfig.model_validate({**parent, "mixture": {}})
    return base.changed(merge(made, changes), place)


def origin_identity(weights: str, data: str) -> dict[str, str]:
    """Return what stands for the beginning of a fine-tuned run in its fingerprint.

    Args:
        weights: of the parent, their sha256.
        data: sha256 of the file of prompts and answers.
    """
    return {"parent": weights, "data": data, "code": code_identity("trainer.fine_tuning.fine_tune")}
