"""Causal self-attention with a T5-style relative bias, without 1/√D scaling (the query's initial values hold it).

B batch, S sequence (queries), T sequence (keys), M model, N heads, D head, R buckets of relative distance.

In: (B, S, M) and the segment of every token. Out: (B, S, M) to add to the residual stream. Logits and softmax are
float32. Sources: praxis `glam.py` and `transformers.py`; Raffel et al. 2020 for the buckets.
"""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from trainer.config import ModelSettings
from trainer.model.normalization import rms_norm
from trainer.model.parameters import Attention
from trainer.sharding import constrain

MASKED = -1e9


def attention(layer: Attention, x: jax.Array, mask: jax.Array, settings: ModelSettings) -> jax.Array:
    """Attend within `mask` (B or 1, S, T), true where the query may see the key."""
    bias = relative_bias(layer.relative_bias[...], x.shape[1], settings.relative_max_distance)
    return attend(layer, *projections(layer, x, settings), bias, mask, settings)


def projections(layer: Attention, x: jax.Array, settings: ModelSettings) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return query, key and value of the normalized x, each (B, S, N, D)."""
    batch, length, width = x.shape
    rows = rms_norm(x, layer.norm[...]).reshape(batch * length, width)

    def project(weight: jax.Array) -> jax.Array:
        flat = weight.astype(x.dtype).reshape(width, -1)
        return constrain((rows @ flat).reshape(batch, length, settings.heads, settings.head_dim), "BSND")

    return project(layer.query[...]), project(layer.key[...]), project(layer.value[...])


def attend(
    layer: Attention,
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    bias: jax.Array,
    mask: jax.Array,
    settings: ModelSettings,
) -> jax.Array:
    """Return what queries (B, S, N, D) find among keys and values (B, T, N, D): (B, S, M).

    `bias` (N, S, T) is added to the logits; `mask` (B or 1, S, T) is true where the query may see the key.
    """
    logits = jnp.einsum("BSND,BTND->BNST", query, key, preferred_element_type=jnp.float32)
    logits = constrain(logits + constrain(bias, "NST"), "BNST")
    weights = softmax(jnp.where(mask[:, None], logits, MASKED), settings.attention_extra_logit).astype(query.dtype)
    batch, length = query.shape[:2]
    mixed = constrain(jnp.einsum("BNST,BTND->BSND", weights, value), "BSND").reshape(batch * length, -1)
    width = layer.norm[...].shape[-1]
    change = mixed @ layer.output[...].astype(query.dtype).reshape(-1, width)
    return constrain(change.reshape(batch, length, width), "BSM")


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def softmax(logits: jax.Array, extra_logit: bool) -> jax.Array:
    """Softmax over the last axis; `extra_logit` adds a logit 0 that takes its share and gives nothing.

    The gradient is written out, from the output alone; derived, it costs a third of attention's time on a CPU.
    """
    top = jnp.max(logits, axis=-1, keepdims=True)
    if extra_logit:
        top = jnp.maximum(top, 0.0)
    exponentials = jnp.exp(logits - top)
    total = jnp.sum(exponentials, axis=-1, keepdims=True)
    return exponentials / (total + jnp.exp(-top) if extra_logit else total)


def _softmax_forward(logits: jax.Array, extra_logit: bool) -> tuple[jax.Array, jax.Array]:
    weights = softmax(logits, extra_logit)
    return weights, weights


def _softmax_backward(extra_logit: bool, weights: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:  # noqa: ARG001
    return (weights * (gradient - jnp.sum(weights * gradient, axis=-1, keepdims=True)),)


softmax.defvjp(_softmax_forward, _softmax_backward)


def attention_mask(segments: jax.Array, across_documents: bool) -> jax.Array:
    """Return (B or 1, S, S), true where a query may see a key: not later and, unless `across_documents`, of its
    segment."""
    length = segments.shape[1]
    causal = np.tril(np.ones((1, length, length), bool))
    if across_documents:
        return jnp.asarray(causal)
    return causal & (segments[:, :, None] == segments[:, None, :])


def distance_buckets(length: int, buckets: int, max_distance: int) -> np.ndarray:
    """Return the bucket of each distance 0 … length − 1: half of the buckets hold one distance, the others grow as
    log."""
    distance = np.arange(length)
    exact = buckets // 2
    growth = np.log(np.maximum(distance, 1) / exact) / math.log(max_distance / exact)
    far = np.minimum(exact + (growth * (buckets - exact)).astype(np.int64), buckets - 1)
    return np.where(distance < exact, distance, far)


def relative_bias(table: jax.Array, length: int, max_distance: int) -> jax.Array:
    """Spread a table (R, N) to (N, S, S): entry (s, t) is the bias of distance s − t, and 0 where t > s.

    The matrix is constant along diagonals: a cycle of 2·S values is repeated and read in rows of 2·S − 1, so that
    each row starts one step earlier in the cycle. Forward and backward are copies and sums, no scatter.
    """
    buckets, heads = table.shape
    one_hot = np.eye(buckets, dtype=np.float32)[distance_buckets(length, buckets, max_distance)]
    by_distance = (one_hot @ table.astype(jnp.float32)).T
    ahead = jnp.zeros((heads, length))
    cycle = jnp.concatenate([by_distance[:, :1], ahead, by_distance[:, :0:-1]], axis=1)
    repeated = jnp.broadcast_to(cycle[:, None], (heads, length, 2 * length)).reshape(heads, -1)
    return repeated[:, : length * (2 * length - 1)].reshape(heads, length, 2 * length - 1)[:, :, :length]
