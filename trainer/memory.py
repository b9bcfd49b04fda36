"""The memory that a training takes, of all its devices together, by part, in bytes.

B batch rows, S sequence, M model, H hidden, N heads, D head, E experts, C slots an expert has for a group, V
vocabulary.

In: a resolved configuration, vocabulary size, sequence length. Out: weights, optimizer state and gradients exactly,
from the shapes of the arrays; activations as an estimate: what the backward pass keeps of one micro-batch, counted by
hand from the layers. A compiler keeps more (copies, the scratch of large products) or less (it computes cheap values
again); the tests hold the estimate to within a factor of two of what XLA reserves.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from trainer.config import ModelSettings, TrainingConfig
from trainer.model.routing import expert_capacity
from trainer.step import compiled_start

FLOAT32 = 4
GATED_VALUES = 5
"""Values of H that a gated GELU keeps: both products, the GELU, its slope, and what goes into the last product."""


class Memory(NamedTuple):
    """Bytes by part.

    Attributes:
        weights: float32.
        optimizer: second moments.
        gradients: float32; twice with micro-batches, whose sum stands beside the next one's.
        activations: kept for the backward pass.
        logits: of the output, and their gradient, of one chunk of the loss.
    """

    weights: int
    optimizer: int
    gradients: int
    activations: int
    logits: int


def memory(config: TrainingConfig, vocabulary_size: int, sequence_length: int) -> Memory:
    """Return what the parts of a training take."""
    training, model = config.training, config.model
    start = compiled_start(model, config.optimizer, vocabulary_size)
    state = jax.eval_shape(start, jnp.int32(0))
    weights = _bytes(state.decoder)
    tokens = training.batch_rows // training.micro_batches * sequence_length
    return Memory(
        weights=weights,
        optimizer=_bytes(state.optimizer),
        gradients=weights * (1 if training.micro_batches == 1 else 2),
        activations=tokens * _kept(model, sequence_length),
        logits=2 * FLOAT32 * vocabulary_size * (training.loss_chunk or tokens),
    )


def _bytes(tree: object) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _kept(model: ModelSettings, sequence_length: int) -> int:
    """Return the bytes that a token's way through all pairs of layers keeps."""
    pairs, working = model.layers // 2, round(_pair(model, sequence_length))
    if model.remat == "none":
        return pairs * working
    kept = model.model_dim * _width(model)
    if model.remat == "dots":
        kept += round(_products(model, sequence_length))
    return pairs * kept + working


def _width(model: ModelSettings) -> int:
    """Return the bytes of an activation."""
    return 2 if model.activation_dtype == "bfloat16" else FLOAT32


def _slots(model: ModelSettings) -> float:
    """Return the rows of experts that are computed for a token, E·C over the tokens of a group."""
    return model.experts * expert_capacity(model.group_size, model.experts, model.capacity_factor) / model.group_size


def _pair(model: ModelSettings, sequence_length: int) -> float:
    """Return the bytes that a token keeps in a pair of layers when nothing is computed again."""
    width, dim, hidden = _width(model), model.model_dim, model.hidden_dim
    projected = model.heads * model.head_dim
    softmax = model.heads * sequence_length * (FLOAT32 + (width if width < FLOAT32 else 0))
    attention = width * (2 * dim + 4 * projected) + softmax  # before and after the norm; query, key, value, mixture
    feed_forward = 2 * dim + (GATED_VALUES if model.feed_forward == "gated" else 2) * hidden
    return 2 * attention + width * (feed_forward + _even_feed_forward(model))


def _even_feed_forward(model: ModelSettings) -> float:
    """Return the values that a token keeps in a mixture, or in what a dense model has in its place."""
    dim, hidden = model.model_dim, model.hidden_dim
    if model.experts:
        slots = _slots(model)
        one_hots = 2 * slots * model.group_size if model.dispatcher == "einsum" else model.choices * dim
        return 2 * dim + slots * (2 * dim + 2 * hidden) + one_hots
    if model.twin == "flops":
        return 2 * dim + 2 * model.choices * hidden
    return 2 * dim + (GATED_VALUES if model.feed_forward == "gated" else 2) * hidden


def _products(model: ModelSettings, sequence_length: int) -> float:
    """Return the bytes of the outputs of matrix products that a token has in a pair of layers."""
    width, dim, hidden = _width(model), model.model_dim, model.hidden_dim
    attention = width * (4 * model.heads * model.head_dim + dim) + FLOAT32 * model.heads * sequence_length
    odd = (2 if model.feed_forward == "gated" else 1) * hidden + dim
    if model.experts:
        even = _slots(model) * (hidden + dim)
    else:
        even = model.choices * hidden + dim if model.twin == "flops" else odd
    return 2 * attention + width * (odd + even)
