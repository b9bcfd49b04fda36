"""Feed-forward layers without experts: (B, S, M) to (B, S, M), to add to the residual stream. No biases.

`gated` is the paper's gated GELU; `plain` the two-matrix layer that stands in for a token's experts in the FLOP-equal
dense twin, and the feed-forward of Artetxe et al.
"""

from __future__ import annotations

from collections.abc import Callable

import jax

from trainer.config import ModelSettings
from trainer.model.normalization import rms_norm
from trainer.model.parameters import GatedFeedForward, PlainFeedForward
from trainer.sharding import constrain


def activation(settings: ModelSettings) -> Callable[[jax.Array], jax.Array]:
    """Return the experts' nonlinearity."""
    return jax.nn.relu if settings.expert_activation == "relu" else jax.nn.gelu


def gated_feed_forward(layer: GatedFeedForward, x: jax.Array) -> jax.Array:
    """Return (gelu(x W_gate) · x W_linear) W_output of the normalized x; GELU in its tanh approximation."""
    rows = rms_norm(x, layer.norm[...]).reshape(-1, x.shape[-1])
    hidden = jax.nn.gelu(rows @ layer.gate[...].astype(x.dtype)) * (rows @ layer.linear[...].astype(x.dtype))
    return _output(hidden, layer.output[...], x)


def plain_feed_forward(layer: PlainFeedForward, x: jax.Array, settings: ModelSettings) -> jax.Array:
    """Return activation(x W_input) W_output of the normalized x."""
    rows = rms_norm(x, layer.norm[...]).reshape(-1, x.shape[-1])
    hidden = activation(settings)(rows @ layer.input[...].astype(x.dtype))
    return _output(hidden, layer.output[...], x)


def _output(hidden: jax.Array, weight: jax.Array, x: jax.Array) -> jax.Array:
    """Bring (B·S, H) back to the shape and type of x (B, S, M)."""
    return constrain((constrain(hidden, "RH") @ weight.astype(x.dtype)).reshape(x.shape), "BSM")
