"""The training configuration of a named size on a slice. Importing this module does not import JAX.

What the paper says of its training (Du et al. 2022, section 5) with what suits a pod: bfloat16 activations, layers
scanned in pairs of which the backward pass saves the input alone, one-hot dispatch, a chunked loss. docs/tpu.md tells
which layouts were tried. Everything can be set otherwise.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from pipelines.store.configuration import ConfigError, apply_override, merge, validate
from trainer.config import TrainingConfig
from trainer.family import FAMILY
from trainer.pod.topology import Topology

TOKENS_A_STEP = 1 << 20
"""The paper's "up to 1M tokens a batch"."""

SEQUENCE_LENGTH = 1024
TRAINED_TOKENS = 600_000_000_000

MODEL_ON_A_POD = {
    "dispatcher": "einsum",
    "activation_dtype": "bfloat16",
    "layer_loop": "scan",
    "remat": "pair",
}


def pod_config(
    size: str,
    topology: Topology,
    overrides: Sequence[str] = (),
    mesh: tuple[int, int] | None = None,
    tokens_a_step: int = TOKENS_A_STEP,
) -> TrainingConfig:
    """Return the configuration that trains a size on a slice.

    Args:
        size: a name of `trainer.family`.
        topology: the slice.
        overrides: `key=value` of the training configuration.
        mesh: data and model; by default as `default_mesh` says.
        tokens_a_step: of a batch, a multiple of the sequence length.

    Raises:
        ConfigError: when something is unknown or does not divide.
    """
    if size not in FAMILY:
        raise ConfigError(f"--model {size}: no such size; there are: {', '.join(FAMILY)}")
    if tokens_a_step % SEQUENCE_LENGTH:
        raise ConfigError(f"--tokens {tokens_a_step}: not a multiple of the sequence length, {SEQUENCE_LENGTH}")
    data, model = mesh or default_mesh(FAMILY[size].settings["experts"], topology.chips)
    values: dict[str, Any] = {
        "version": size,
        "model": {"size": size, **MODEL_ON_A_POD},
        "optimizer": {"learning_rate": 0.01, "schedule": "inverse_square_root"},
        "training": {
            "steps": TRAINED_TOKENS // tokens_a_step,
            "batch_rows": tokens_a_step // SEQUENCE_LENGTH,
            "checkpoint_every": 1000,
        },
        "mesh": {"data": data, "model": model},
    }
    changes: dict[str, Any] = {}
    for override in overrides:
        apply_override(changes, override, "--set")
    return validate(TrainingConfig, merge(values, changes), "--set")


def parse_mesh(text: str | None) -> tuple[int, int] | None:
    """Read DATAxMODEL.

    Raises:
        ConfigError: when it is not written so.
    """
    if text is None:
        return None
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if found is None:
        raise ConfigError(f"--mesh {text}: write DATAxMODEL, e.g. 64x16")
    return int(found[1]), int(found[2])


def default_mesh(experts: int, chips: int) -> tuple[int, int]:
    """Return data and model: an expert of each layer to a row of the mesh as far as the chips go; a dense model as if
    it had 64."""
    data = math.gcd(experts or 64, chips)
    return data, chips // data
