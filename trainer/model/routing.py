"""Which experts take which tokens: softmax gate, top 2, capacity, and the losses and counts that go with it.

G groups, T tokens of a group, M model, E experts, C slots an expert has for a group, K = 2 choices.

In: normalized activations (G, T, M), the router's matrix (M, E), which tokens are real (G, T). Out: a `Routing`. All
in float32. Tokens choose in their order; second choices queue behind the first choices that were kept; a choice that
finds its expert full is dropped, and its share of the token passes by the residual connection alone. Padding chooses
nothing. Sources: GShard (Lepikhin et al., 2020, algorithm 1) as in lingvo's `gshard_layers.py`, with the second
expert always dispatched.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

CHOICES = 2
GATE_EPSILON = 1e-9


class RouterLosses(NamedTuple):
    """Scalars of one layer: load-balancing loss (1 when even) and mean squared log-partition."""

    auxiliary: jax.Array
    router_z: jax.Array


class RouterCounts(NamedTuple):
    """What one layer's router did.

    Attributes:
        load: (K, E) int32, choices of real tokens for each expert before capacity.
        dropped: (K,) int32, choices that found their expert full.
        entropy: scalar, mean entropy of the gate in nats.
    """

    load: jax.Array
    dropped: jax.Array
    entropy: jax.Array


class Routing(NamedTuple):
    """Where each choice of each token goes.

    Attributes:
        expert: (G, T, K) int32.
        slot: (G, T, K) int32, position in the expert's queue; `capacity` or more where the choice is dropped.
        gate: (G, T, K) float32 weight of the expert's output, 0 where the choice is dropped.
        capacity: C.
    """

    expert: jax.Array
    slot: jax.Array
    gate: jax.Array
    capacity: int


def expert_capacity(tokens: int, experts: int, factor: float | None) -> int:
    """Return the slots of an expert for a group: tokens · factor / experts, up to a multiple of 4; all tokens if
    factor is None.

    The factor is GShard's: it counts both choices, so at 2.0 the slots are as many as the choices.
    """
    if factor is None:
        return tokens
    return min(tokens, 4 * math.ceil(tokens * factor / experts / 4))


def route(
    x: jax.Array, router: jax.Array, real: jax.Array, factor: float | None
) -> tuple[Routing, RouterLosses, RouterCounts]:
    """Choose two experts for every real token and queue the choices.

    Args:
        x: (G, T, M).
        router: (M, E).
        real: (G, T) bool.
        factor: capacity factor, None for no limit.
    """
    experts = router.shape[-1]
    capacity = expert_capacity(x.shape[1], experts, factor)
    logits = jnp.einsum("GTM,ME->GTE", x.astype(jnp.float32), router, precision=jax.lax.Precision.HIGHEST)
    shares = jax.nn.softmax(logits, axis=-1)
    expert, chosen, gate = _choose(shares, real)
    slot = _queue(chosen, capacity)
    kept = real[..., None] & (slot < capacity)
    routing = Routing(expert, jnp.where(real[..., None], slot, capacity), gate * kept, capacity)
    losses = RouterLosses(_auxiliary_loss(shares, chosen[0], real), _mean_of_real(_log_partition(logits) ** 2, real))
    counts = RouterCounts(
        load=jnp.stack([jnp.sum(choice, axis=(0, 1)) for choice in chosen]),
        dropped=jnp.sum(real[..., None] & ~kept, axis=(0, 1)),
        entropy=_mean_of_real(-jnp.sum(shares * jnp.log(shares + GATE_EPSILON), axis=-1), real),
    )
    return routing, losses, jax.lax.stop_gradient(counts)


def _choose(shares: jax.Array, real: jax.Array) -> tuple[jax.Array, list[jax.Array], jax.Array]:
    """Return the two best experts (G, T, K), their one-hots (G, T, E) int32 (0 for padding), and their renormalized
    shares."""
    experts = shares.shape[-1]
    first = jnp.argmax(shares, axis=-1)
    first_hot = jax.nn.one_hot(first, experts, dtype=jnp.int32)
    second = jnp.argmax(jnp.where(first_hot == 1, -1.0, shares), axis=-1)
    second_hot = jax.nn.one_hot(second, experts, dtype=jnp.int32)
    picked = jnp.stack([jnp.sum(shares * hot, axis=-1) for hot in (first_hot, second_hot)], axis=-1)
    gate = picked / (jnp.sum(picked, axis=-1, keepdims=True) + GATE_EPSILON)
    chosen = [hot * real[..., None] for hot in (first_hot, second_hot)]
    return jnp.stack([first, second], axis=-1).astype(jnp.int32), chosen, gate


def _queue(chosen: list[jax.Array], capacity: int) -> jax.Array:
    """Return each choice's position in its expert's queue, (G, T, K)."""
    first, second = chosen
    before_first = jnp.cumsum(first, axis=1) - first
    kept_firsts = jnp.minimum(jnp.sum(first, axis=1, keepdims=True), capacity)
    before_second = jnp.cumsum(second, axis=1) - second + kept_firsts
    return jnp.stack([jnp.sum(before_first * first, axis=-1), jnp.sum(before_second * second, axis=-1)], axis=-1)


def _auxiliary_loss(shares: jax.Array, first: jax.Array, real: jax.Array) -> jax.Array:
    """Return E² · mean over groups and experts of f · P (GShard): f share of first choices before capacity, P mean
    gate.

    Both are means over the real tokens of a group, and groups count by their real tokens, so padding changes nothing.
    """
    experts = shares.shape[-1]
    tokens = jnp.sum(real, axis=1).astype(jnp.float32)
    safe = jnp.maximum(tokens, 1.0)[:, None]
    first_share = jnp.sum(first, axis=1) / safe
    mean_gate = jnp.sum(shares * real[..., None], axis=1) / safe
    by_group = experts * jnp.sum(first_share * mean_gate, axis=-1)
    return jnp.sum(by_group * tokens) / jnp.maximum(jnp.sum(tokens), 1.0)


def _log_partition(logits: jax.Array) -> jax.Array:
    return jax.nn.logsumexp(logits, axis=-1)


def _mean_of_real(values: jax.Array, real: jax.Array) -> jax.Array:
    return jnp.sum(values * real) / jnp.maximum(jnp.sum(real), 1)
