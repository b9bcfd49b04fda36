"""Where a run begins and what it learns from, when that is not random weights and the shards of a version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from trainer.batch import Batch
from trainer.model.parameters import Decoder


class Batches(Protocol):
    """Batches by number."""

    def batch(self, step: int) -> Batch:
        """Return the batch of `step` (from 0), the same one every time."""


@dataclass(frozen=True)
class Origin:
    """Another run's weights, and batches of one's own.

    Attributes:
        decoder: the parameters to begin with.
        data: what to learn from.
        identity: what stands for both in the fingerprint of the run.
        note: what run.json tells of them: {"parent": {…}, "data": {…}}.
    """

    decoder: Decoder
    data: Batches
    identity: Mapping[str, Any]
    note: Mapping[str, Any]
