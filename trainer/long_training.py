"""What a training of many tokens on a TPU slice takes, in closed form: steps, days, energy; and what serving takes.

In: a model, its vocabulary and sequence length, tokens, a slice of chips, assumptions. Out: a `LongTraining`. The
paper's own trainings stand beside it. Importing this module does not import JAX.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import Field

from pipelines.planning.assumptions import positive, share
from pipelines.store.configuration import Settings
from trainer.accounting import Cost, cost
from trainer.config import ModelSettings
from trainer.pod.topology import Topology


class TrainingAssumptions(Settings):
    """Of a training on a slice, and of the model in service."""

    mfu: float = share(0.28, "of the chips' peak is reached by the model's own FLOPs; the paper's energy gives 0.28")
    chip_watts: float = positive(326, "of a chip with its share of the host (the paper)")
    pue: float = Field(
        1.11, ge=1, allow_inf_nan=False, description="power usage effectiveness of the place (the paper)"
    )
    batch_tokens: int = Field(1 << 20, ge=1, description="tokens an update (the paper: up to 1M)")
    state_bytes: float = positive(8.01, "a parameter: weights, gradients, Adafactor's factored moments, float32")
    serving_bytes: float = positive(2, "a parameter in service: bfloat16")


class Published(NamedTuple):
    """A training of the paper: tokens, hours on 1,024 chips (None: not told), MWh."""

    tokens: int
    hours: float | None
    megawatt_hours: float


PAPER_CHIPS = 1024
PAPER = (Published(280 * 10**9, 574, 213), Published(600 * 10**9, None, 456))
"""GLaM 64B/64E (Du et al., 2022, section 7)."""

PAPER_SERVING_GFLOPS = {"GLaM 64B/64E": 180, "GPT-3": 350}
"""GFLOPs of a token in inference, as the paper prints them."""


@dataclass(frozen=True)
class LongTraining:
    """A training on a slice.

    Attributes:
        size: of the model.
        tokens: of the training.
        topology: the slice.
        assumptions: that it rests on.
    """

    size: Cost
    tokens: int
    topology: Topology
    assumptions: TrainingAssumptions

    @property
    def steps(self) -> int:
        """Updates, the last one maybe of a smaller batch."""
        return -(-self.tokens // self.assumptions.batch_tokens)

    @property
    def step_floor(self) -> float:
        """Seconds of an update at the chips' peak: no training is faster."""
        flops = self.assumptions.batch_tokens * self.size.training_flops
        return flops / (self.topology.chips * self.topology.chip.peak_flops)

    @property
    def hours(self) -> float:
        """Hours of all updates at the assumed utilization."""
        return self.steps * self.step_floor / self.assumptions.mfu / 3600

    @property
    def megawatt_hours(self) -> float:
        """Energy of the chips and what cools them."""
        return energy(self.topology.chips, self.hours, self.assumptions)

    @property
    def state_bytes_a_chip(self) -> float:
        """Bytes of weights, gradients and optimizer on each chip: the least; `glam compile` tells the whole."""
        return self.size.parameters * self.assumptions.state_bytes / self.topology.chips

    def to_json(self) -> dict[str, Any]:
        """Return what `glam plan --json` prints of the training."""
        return {
            "parameters": self.size.parameters,
            "active": self.size.active,
            "tokens": self.tokens,
            "topology": self.topology.name,
            "chips": self.topology.chips,
            "steps": self.steps,
            "step_floor_seconds": self.step_floor,
            "hours": self.hours,
            "days": self.hours / 24,
            "megawatt_hours": self.megawatt_hours,
            "state_bytes_a_chip": self.state_bytes_a_chip,
            "chip_bytes": self.topology.chip.memory_bytes,
            "serving_bytes": self.size.parameters * self.assumptions.serving_bytes,
            "serving_gflops": self.size.forward_flops / 1e9,
        }


def energy(chips: int, hours: float, assumptions: TrainingAssumptions) -> float:
    """Return MWh of so many chips in so many hours."""
    return chips * hours * assumptions.chip_watts * assumptions.pue / 1e6


def plan_training(
    model: ModelSettings,
    vocabulary_size: int,
    sequence_length: int,
    tokens: int,
    topology: Topology,
    assumptions: TrainingAssumptions,
) -> LongTraining:
    """Return what the training takes."""
    return LongTraining(cost(model, vocabulary_size, sequence_length), tokens, topology, assumptions)
