"""The GLaM decoder: token ids to hidden states.

B batch, S sequence, M model, P pairs of layers, E experts, K choices, V vocabulary.

In: a `Decoder`, ids (B, S) int32, segments (B, S) int32: 0 for padding, 1, 2, … for the documents packed in a row.
Out: hidden states (B, S, M) after the final norm, losses and counts of every router (first axis P).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from trainer.config import ModelSettings
from trainer.model.attention import attention, attention_mask
from trainer.model.experts import mixture
from trainer.model.feed_forward import gated_feed_forward, plain_feed_forward
from trainer.model.normalization import rms_norm
from trainer.model.parameters import Decoder, Layer, Mixture, PlainFeedForward
from trainer.model.routing import RouterCounts, RouterLosses


class Routers(NamedTuple):
    """Losses and counts of the routers, each with a first axis P."""

    losses: RouterLosses
    counts: RouterCounts


def forward(
    decoder: Decoder, ids: jax.Array, segments: jax.Array, settings: ModelSettings, capacity_factor: float | None
) -> tuple[jax.Array, Routers | None]:
    """Return hidden states (B, S, M) and what the routers did (None for a dense model).

    Layers are unrolled: on a CPU a scan over them costs copies of every parameter and its gradient.
    """
    mask = attention_mask(segments, settings.attend_across_documents)
    real = segments > 0
    x = decoder.embedding[...].astype(settings.activation_dtype)[ids]
    routers = []
    for pair in range(settings.layers // 2):
        even, odd = (_layer(stack, pair) for stack in (decoder.even_layers, decoder.odd_layers))
        x = x + attention(even.attention, x, mask, settings)
        change, router = _feed_forward(even, x, real, settings, capacity_factor)
        x = x + change
        x = x + attention(odd.attention, x, mask, settings)
        x = x + _feed_forward(odd, x, real, settings, capacity_factor)[0]
        routers.append(router)
    stacked = jax.tree.map(lambda *values: jnp.stack(values), *routers) if settings.experts else None
    return rms_norm(x, decoder.norm[...]), stacked


def _layer(stack: Layer, number: int) -> Layer:
    """Return one layer of a stack."""
    return jax.tree.map(lambda array: array[number], stack)


def _feed_forward(
    layer: Layer, x: jax.Array, real: jax.Array, settings: ModelSettings, capacity_factor: float | None
) -> tuple[jax.Array, Routers | None]:
    kind = layer.feed_forward
    if isinstance(kind, Mixture):
        change, losses, counts = mixture(kind, x, real, settings, capacity_factor)
        return change, Routers(losses, counts)
    if isinstance(kind, PlainFeedForward):
        return plain_feed_forward(kind, x, settings), None
    return gated_feed_forward(kind, x), None
