"""Which experts take which tokens: softmax gate, top K, capacity, and the losses and counts that go with it.

B batch, S sequence, G groups, T tokens of a group, M model, E experts, C slots an expert has for a group, K choices
(2, or 1).

In: normalized activations (G, T, M), the router's matrix (M, E), which tokens are real (G, T). Out: a `Routing`. All
in float32. Tokens choose in their order; second choices queue behind the first choices that were kept; a choice that
finds its expert full is dropped, and its share of the token passes by the residual connection alone. Padding chooses
nothing. Sources: GShard (Lepikhin et al., 2020, algorithm 1) as in lingvo's `gshard_layers.py`; Switch Transformer
(Fedus et al., 2021) for K = 1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from trainer.sharding import constrain

GATE_EPSILON = 1e-9


class RouterLosses(NamedTuple):
    """Scalars of one layer: load-balancing loss (1 when even) and mean squared log-partition."""

    auxiliary: jax.Array
    router_z: jax.Array


class RouterCounts(NamedTuple):
    """What one layer's router did.

    Attributes:
        load: (K, E) int32, choices that were sent to each expert, before capacity.
        dropped: (K,) int32, choices that found their expert full.
        entropy: scalar, mean entropy of the gate in nats.
    """

    load: jax.Array
    dropped: jax.Array
    entropy: jax.Array


class TokenRouting(NamedTuple):
    """What one layer's router did with each token.

    Attributes:
        expert: (B, S, K) int32.
        entropy: (B, S) float32, of the gate, in nats.
    """

    expert: jax.Array
    entropy: jax.Array


class Routing(NamedTuple):
    """Where each choice of each token goes.

    Attributes:
        expert: (G, T, K) int32.
        slot: (G, T, K) int32, position in the expert's queue; `capacity` or more where the choice is dropped.
        gate: (G, T, K) float32 weight of the expert's output, 0 where the choice is dropped.
        entropy: (G, T) float32, of the gate of all experts, in nats.
        capacity: C.
    """

    expert: jax.Array
    slot: jax.Array
    gate: jax.Array
    entropy: jax.Array
    capacity: int


def expert_capacity(tokens: int, experts: int, factor: float | None) -> int:
    """Return the slots of an expert for a group: tokens · factor / experts, up to a multiple of 4; all tokens if
    factor is None.

    The factor is GShard's: it counts both choices, so at 2.0 the slots are as many as the choices.
    """
    if factor is None:
        return tokens
    return min(tokens, 4 * math.ceil(tokens * factor / experts / 4))


class Draw(NamedTuple):
    """Where the random policy for second experts takes its numbers from.

    Attributes:
        key: of this update and layer.
        first_group: number, within the whole batch, of the first group that is routed.
    """

    key: jax.Array
    first_group: jax.Array | int

    def of_layer(self, layer: jax.Array | int) -> Draw:
        """Return the draw of one layer, from that of the update."""
        return self._replace(key=jax.random.fold_in(self.key, layer))

    def uniform(self, groups: int, tokens: int) -> jax.Array:
        """Return numbers in [0, 1), (G, T): each a function of key, group and place in it alone."""
        numbers = self.first_group + jnp.arange(groups)
        keys = jax.vmap(lambda number: jax.random.fold_in(self.key, number))(numbers)
        return jax.vmap(lambda key: jax.random.uniform(key, (tokens,)))(keys)


def route(
    x: jax.Array,
    router: jax.Array,
    real: jax.Array,
    factor: float | None,
    choices: int = 2,
    draw: Draw | None = None,
) -> tuple[Routing, RouterLosses, RouterCounts]:
    """Choose experts for every real token and queue the choices.

    Args:
        x: (G, T, M).
        router: (M, E).
        real: (G, T) bool.
        factor: capacity factor, None for no limit.
        choices: K.
        draw: sends the second choice with probability 2·gate (GShard); None always sends it.
    """
    experts = router.shape[-1]
    capacity = expert_capacity(x.shape[1], experts, factor)
    logits = jnp.einsum("GTM,ME->GTE", x.astype(jnp.float32), router, precision=jax.lax.Precision.HIGHEST)
    shares = jax.nn.softmax(constrain(logits, "GTE"), axis=-1)
    expert, gate = _choose(shares, choices)
    sent = _sent(gate, real, draw)
    chosen = [jax.nn.one_hot(expert[..., k], experts, dtype=jnp.int32) * sent[..., k, None] for k in range(choices)]
    slot = _queue(chosen, capacity)
    kept = sent & (slot < capacity)
    entropy = -jnp.sum(shares * jnp.log(shares + GATE_EPSILON), axis=-1)
    routing = Routing(expert, jnp.where(sent, slot, capacity), gate * kept, entropy, capacity)
    losses = RouterLosses(_auxiliary_loss(shares, chosen[0], real), _mean_of_real(_log_partition(logits) ** 2, real))
    counts = RouterCounts(
        load=jnp.stack([jnp.sum(choice, axis=(0, 1)) for choice in chosen]),
        dropped=jnp.sum(sent & ~kept, axis=(0, 1)),
        entropy=_mean_of_real(entropy, real),
    )
    return routing, losses, jax.lax.stop_gradient(counts)


def _choose(shares: jax.Array, choices: int) -> tuple[jax.Array, jax.Array]:
    """Return the best experts (G, T, K) int32 and their gates (G, T, K).

    Two gates are renormalized to sum to 1 before anything is dropped; a single one stays the softmax's, since 1 would
    teach the router nothing.
    """
    experts = shares.shape[-1]
    best, picked, left = [], [], shares
    for _ in range(choices):
        best.append(jnp.argmax(left, axis=-1))
        hot = jax.nn.one_hot(best[-1], experts, dtype=shares.dtype)
        picked.append(jnp.sum(shares * hot, axis=-1))
        left = jnp.where(hot == 1, -1.0, left)
    gate = jnp.stack(picked, axis=-1)
    if choices > 1:
        gate = gate / (jnp.sum(gate, axis=-1, keepdims=True) + GATE_EPSILON)
    return jnp.stack(best, axis=-1).astype(jnp.int32), gate


def _sent(gate: jax.Array, real: jax.Array, draw: Draw | None) -> jax.Array:
    """Return which choices are sent to their expert, (G, T, K) bool."""
    groups, tokens, choices = gate.shape
    sent = jnp.broadcast_to(real[..., None], gate.shape)
    if draw is None or choices < 2:
        return sent
    wanted = draw.uniform(groups, tokens) < 2.0 * gate[..., 1]
    return sent.at[..., 1].set(real & wanted)


def _queue(chosen: list[jax.Array], capacity: int) -> jax.Array:
    """Return each choice's position in its expert's queue, (G, T, K), of one-hots (G, T, E)."""
    positions = []
    filled = jnp.zeros_like(chosen[0][:, :1])
    for choice in chosen:
        before = jnp.cumsum(choice, axis=1) - choice + filled
        positions.append(jnp.sum(before * choice, axis=-1))
        filled = jnp.minimum(filled + jnp.sum(choice, axis=1, keepdims=True), capacity)
    return jnp.stack(positions, axis=-1)


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
