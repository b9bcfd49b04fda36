"""What a plan assumes and nobody measured here: every field is printed with its meaning, and `--assume NAME=VALUE`
changes it.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from pipelines.store.configuration import Settings


def share(value: float, description: str) -> Any:
    """Return a field for a share: above 0, at most 1."""
    return Field(value, gt=0, le=1, allow_inf_nan=False, description=description)


def positive(value: float, description: str) -> Any:
    """Return a field for a number above 0."""
    return Field(value, gt=0, allow_inf_nan=False, description=description)


def price(value: float, description: str) -> Any:
    """Return a field for US dollars."""
    return Field(value, ge=0, allow_inf_nan=False, description=f"US dollars, {description}")


class CorpusAssumptions(Settings):
    """Of a corpus that is not here yet, and of the service that is to build it."""

    bytes_per_token: float = positive(4.3, "of text; English at 256,000 pieces, fewer pieces need more tokens")
    selected: float = share(0.5, "of extracted text passes language and length, in components that are scored (web)")
    selected_others: float = share(0.95, "the same in all other components")
    unique: float = share(0.9, "of selected text is no duplicate")
    sampled: float = share(143 / 7000, "of scored text is kept, by raw score (GLaM: 143B of 7T); by rank α decides")
    core_speed: float = positive(1.0, "of a worker's core, beside the core that was measured")
    busy: float = share(0.8, "of the time workers work")
    worker_cores: int = Field(16, ge=1, description="of a worker")
    worker_memory: float = positive(4.0, "GB a core")
    core_price: float = price(0.056, "a core (vCPU) and hour: Dataflow, batch, us-central1")
    memory_price: float = price(0.003557, "a GB of memory and hour: the same")
    shuffle_price: float = price(0.011, "a GB sent between workers: Dataflow shuffle")
    storage_price: float = price(0.020, "a GB and month in the store: standard storage")
