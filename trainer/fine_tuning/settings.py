"""How a run is fine-tuned. Importing this module does not import JAX."""

from __future__ import annotations

from pydantic import Field

from pipelines.store.configuration import Settings


class FineTuningSettings(Settings):
    """How a run is fine-tuned.

    Attributes:
        epochs: how often every example is read.
        steps: updates; 0 takes as many as the epochs need.
        learning_rate: highest rate, relative to the root mean square of each parameter; it falls in a straight line.
        batch_rows: sequences a batch, several examples each.
        seed: of the order.
    """

    epochs: int = Field(default=3, ge=1)
    steps: int = Field(default=0, ge=0)
    learning_rate: float = Field(default=0.02, gt=0, allow_inf_nan=False)
    batch_rows: int = Field(default=8, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**31)
