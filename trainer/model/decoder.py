"""The GLaM decoder: token ids to hidden states.

B batch, S sequence, M model, P pairs of layers, E experts, K choices, V vocabulary.

In: a `Decoder`, ids (B, S) int32, segments (B, S) int32: 0 for padding, 1, 2, … for the documents packed in a row.
Out: hidden states (B, S, M) after the final norm, losses and counts of every router (first axis P).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from trainer.config import ModelSettings
from trainer.model.attention import attention, attention_mask
from trainer.model.experts import mixture
from trainer.model.feed_forward import gated_feed_forward, plain_feed_forward
from trainer.model.normalization import rms_norm
from trainer.model.parameters import Decoder, Layer, Mixture, PlainFeedForward
from trainer.model.routing import Draw, RouterCounts, RouterLosses, TokenRouting
from trainer.sharding import constrain


class Routers(NamedTuple):
    """What the routers did, with every token where that is asked for; all with a first axis P."""

    losses: RouterLosses
    counts: RouterCounts
    tokens: TokenRouting | None = None


def forward(
    decoder: Decoder,
    ids: jax.Array,
    segments: jax.Array,
    settings: ModelSettings,
    capacity_factor: float | None,
    draw: Draw | None = None,
    every_token: bool = False,
) -> tuple[jax.Array, Routers | None]:
    """Return hidden states (B, S, M) and what the routers did (None for a dense model).

    Args:
        decoder: parameters.
        ids: (B, S) int32.
        segments: (B, S) int32.
        settings: of the model.
        capacity_factor: None drops nothing.
        draw: of the update, for the random policy for second experts; None sends all choices.
        every_token: tell what the routers did with every token.
    """
    settings = settings.on(jax.default_backend())
    mask = attention_mask(segments, settings.attend_across_documents)
    real = is_real(segments, settings)

    def pair(x: jax.Array, number: jax.Array | int, even: Layer, odd: Layer) -> tuple[jax.Array, Routers | None]:
        x = x + attention(even.attention, x, mask, settings)
        change, router = feed_forward(even, x, real, settings, capacity_factor, draw and draw.of_layer(number))
        x = x + change
        x = x + attention(odd.attention, x, mask, settings)
        if router is not None and not every_token:
            router = router._replace(tokens=None)
        return x + feed_forward(odd, x, real, settings, capacity_factor, None)[0], router

    x = constrain(decoder.embedding[...].astype(settings.activation_dtype)[ids], "BSM")
    x, routers = _through_pairs(_rematerialized(pair, settings), x, decoder, settings)
    return rms_norm(x, decoder.norm[...]), routers


def is_real(segments: jax.Array, settings: ModelSettings) -> jax.Array:
    """Tell of each token (B, S) whether it is routed and counts in the routers' means."""
    return jnp.ones_like(segments, bool) if settings.padding == "counted" else segments > 0


Pair = Callable[[jax.Array, Any, Layer, Layer], tuple[jax.Array, Routers | None]]


def _rematerialized(pair: Pair, settings: ModelSettings) -> Pair:
    """Return `pair` so that its backward pass computes again what `settings.remat` says."""
    if settings.remat == "none":
        return pair
    policy = jax.checkpoint_policies.dots_saveable if settings.remat == "dots" else None
    return jax.checkpoint(pair, policy=policy)


def _through_pairs(
    pair: Pair, x: jax.Array, decoder: Decoder, settings: ModelSettings
) -> tuple[jax.Array, Routers | None]:
    """Send x through all pairs of layers; return what the routers did stacked along P.

    A scan compiles one pair, but on a CPU it costs copies of every parameter and its gradient.
    """
    pairs = settings.layers // 2
    if settings.layer_loop == "scan":
        stacked = jnp.arange(pairs), decoder.even_layers, decoder.odd_layers
        return jax.lax.scan(lambda before, layers: pair(before, *layers), x, stacked)
    routers = []
    for number in range(pairs):
        x, router = pair(x, number, layer_of(decoder.even_layers, number), layer_of(decoder.odd_layers, number))
        routers.append(router)
    return x, jax.tree.map(lambda *values: jnp.stack(values), *routers) if settings.experts else None


def layer_of(stack: Layer, number: int) -> Layer:
    """Return one layer of a stack."""
    return jax.tree.map(lambda array: array[number], stack)


def feed_forward(
    layer: Layer,
    x: jax.Array,
    real: jax.Array,
    settings: ModelSettings,
    capacity_factor: float | None,
    draw: Draw | None,
) -> tuple[jax.Array, Routers | None]:
    """Return what a layer's feed-forward adds to x (B, S, M), and what its router did, if it has one."""
    kind = layer.feed_forward
    if isinstance(kind, Mixture):
        change, losses, counts, tokens = mixture(kind, x, real, settings, capacity_factor, draw)
        return change, Routers(losses, counts, tokens)
    if isinstance(kind, PlainFeedForward):
        return plain_feed_forward(kind, x, settings), None
    return gated_feed_forward(kind, x), None
