"""What a model costs, in closed form: parameters, active parameters, FLOPs. Importing this module does not import JAX.

L layers, M model, H hidden, N heads, D head, E experts, V vocabulary, R buckets of relative distance, S sequence.

In: settings, vocabulary size, sequence length. Out: exact integers. The parameter count reproduces the authors'
137,702,416,384 for their dense 128B model (lingvo, `DenseLm128B8x8`) to the unit, and Table 4 of the paper within its
rounding.
"""

from __future__ import annotations

from typing import NamedTuple

from trainer.config import ModelSettings


class Cost(NamedTuple):
    """The size of a model.

    Attributes:
        parameters: all of them.
        active: those that work on a token: its experts in each mixture layer.
        forward_flops: of one token in a sequence of the length given, two a multiply-add; attention over the whole
            sequence.
        training_flops: forward and backward, three times the forward ones (nothing is computed again).
    """

    parameters: int
    active: int
    forward_flops: int
    training_flops: int


def cost(model: ModelSettings, vocabulary_size: int, sequence_length: int) -> Cost:
    """Return the size of a model and the FLOPs of a token."""
    rest = model.model_dim * (2 * model.layers + 1) + model.relative_buckets * model.heads * model.layers
    active_matrices = _matrices(model, vocabulary_size, min(model.experts, model.choices))
    attention = 4 * sequence_length * model.heads * model.head_dim * model.layers
    forward = 2 * active_matrices + attention
    return Cost(
        parameters=_matrices(model, vocabulary_size, model.experts) + rest,
        active=active_matrices + rest,
        forward_flops=forward,
        training_flops=3 * forward,
    )


def _matrices(model: ModelSettings, vocabulary_size: int, experts: int) -> int:
    """Return the elements of all matrices when each mixture layer counts `experts` experts."""
    width, hidden, pairs = model.model_dim, model.hidden_dim, model.layers // 2
    attention = 4 * width * model.heads * model.head_dim * model.layers
    odd = (3 if model.feed_forward == "gated" else 2) * width * hidden
    if model.experts:
        even = experts * 2 * width * hidden + width * model.experts
    else:
        even = model.choices * 2 * width * hidden if model.twin == "flops" else odd
    return vocabulary_size * width + attention + pairs * (even + odd)
