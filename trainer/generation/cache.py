"""The decoder token by token: keys and values of what was read are kept, so that a new token costs one token's work.

B rows, S new tokens of a row, T slots of a row, M model, N heads, D head, L layers.

In: a `Decoder`, a `Cache`, ids (B, S). Out: hidden states (B, S, M) of the new tokens, those that the whole forward
pass would give them, and the cache with their keys and values. Rows end together: a shorter one is padded at its left,
and as positions are distances (the relative bias), that changes nothing. No choice of an expert is dropped, so a row
does not depend on the others.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from trainer.config import ModelSettings
from trainer.model.attention import attend, distance_buckets, projections
from trainer.model.decoder import feed_forward, layer_of
from trainer.model.normalization import rms_norm
from trainer.model.parameters import Attention, Decoder


class LayerCache(NamedTuple):
    """Keys and values of one layer, each (B, T, N, D)."""

    key: jax.Array
    value: jax.Array


class Cache(NamedTuple):
    """What a row has read so far.

    Attributes:
        layers: L of them.
        real: (B, T) bool, whether a slot holds a token (and not padding, or nothing yet).
    """

    layers: tuple[LayerCache, ...]
    real: jax.Array


def empty_cache(rows: int, slots: int, settings: ModelSettings) -> Cache:
    """Return a cache with room for `slots` tokens a row."""
    dtype = settings.on(jax.default_backend()).activation_dtype
    nothing = jnp.zeros((rows, slots, settings.heads, settings.head_dim), dtype)
    return Cache((LayerCache(nothing, nothing),) * settings.layers, jnp.zeros((rows, slots), bool))


def extend(
    decoder: Decoder, cache: Cache, start: jax.Array | int, ids: jax.Array, real: jax.Array, settings: ModelSettings
) -> tuple[jax.Array, Cache]:
    """Read S more tokens a row into the slots from `start`; return their hidden states and the cache.

    Args:
        decoder: parameters.
        cache: what was read before.
        start: slots in use.
        ids: (B, S) int32.
        real: (B, S) bool, false for padding.
        settings: of the model.
    """
    slots = start + jnp.arange(ids.shape[1])
    whole = Cache(cache.layers, jax.lax.dynamic_update_slice(cache.real, real, (0, start)))
    mask = whole.real[:, None] & (jnp.arange(whole.real.shape[1]) <= slots[:, None])
    settings = settings.on(jax.default_backend())
    settings = settings.model_copy(update={"group_size": math.gcd(settings.group_size, ids.size)})
    x = decoder.embedding[...].astype(settings.activation_dtype)[ids]
    layers: list[LayerCache] = []
    for number in range(settings.layers // 2):
        for stack in (decoder.even_layers, decoder.odd_layers):
            layer = layer_of(stack, number)
            change, kept = _attention(layer.attention, x, whole.layers[len(layers)], slots, mask, settings)
            x = x + change
            x = x + feed_forward(layer, x, real, settings, None, None)[0]
            layers.append(kept)
    return rms_norm(x, decoder.norm[...]), Cache(tuple(layers), whole.real)


def _attention(
    layer: Attention, x: jax.Array, cache: LayerCache, slots: jax.Array, mask: jax.Array, settings: ModelSettings
) -> tuple[jax.Array, LayerCache]:
    """Return what attention adds to x (B, S, M), the tokens of `slots` (S,), and the layer's cache with them."""
    query, key, value = projections(layer, x, settings)
    place = (0, slots[0], 0, 0)
    kept = LayerCache(
        jax.lax.dynamic_update_slice(cache.key, key, place), jax.lax.dynamic_update_slice(cache.value, value, place)
    )
    bias = _bias(layer.relative_bias[...], slots, mask.shape[-1], settings.relative_max_distance)
    return attend(layer, query, *kept, bias, mask, settings), kept


def _bias(table: jax.Array, slots: jax.Array, length: int, max_distance: int) -> jax.Array:
    """Return the bias (N, S, T) of the tokens in `slots` (S,) against all slots; what is later is masked."""
    distances = jnp.maximum(slots[:, None] - jnp.arange(length), 0)
    buckets = jnp.asarray(distance_buckets(length, table.shape[0], max_distance))[distances]
    return jnp.moveaxis(table[buckets], -1, 0)
