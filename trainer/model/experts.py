"""The mixture of experts: carry tokens to their experts, apply them, bring the outputs back weighted by the gate.

G groups, T tokens of a group, M model, H hidden, E experts, C slots an expert has for a group, K choices.

In: activations (G, T, M), a `Routing`, experts' matrices (E, M, H) and (E, H, M). Out: (G, T, M). Two dispatchers
with equal results: `einsum_mixture` multiplies by one-hot matrices as GShard does, which a TPU mesh partitions well;
`gather_mixture` moves rows, which costs nothing in FLOPs and is meant for CPU and GPU. Both directions of both moves
are gathers (a scatter-add is slow everywhere).
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from trainer.config import ModelSettings
from trainer.model.feed_forward import activation
from trainer.model.normalization import rms_norm
from trainer.model.parameters import Mixture
from trainer.model.routing import Draw, RouterCounts, RouterLosses, Routing, TokenRouting, route
from trainer.sharding import constrain

Activation = Callable[[jax.Array], jax.Array]


def mixture(
    layer: Mixture,
    x: jax.Array,
    real: jax.Array,
    settings: ModelSettings,
    capacity_factor: float | None,
    draw: Draw | None = None,
) -> tuple[jax.Array, RouterLosses, RouterCounts, TokenRouting]:
    """Return what the experts add to the residual stream, and what the router did.

    Args:
        layer: parameters of one layer.
        x: (B, S, M).
        real: (B, S) bool, false for padding.
        settings: of the model; B·S must be a multiple of its group size.
        capacity_factor: None drops nothing.
        draw: of this layer, for the random policy for second experts; None sends all choices.
    """
    width = x.shape[-1]
    rows = constrain(rms_norm(x, layer.norm[...]).reshape(-1, settings.group_size, width), "GTM")
    real = real.reshape(-1, settings.group_size)
    routing, losses, counts = route(rows, layer.router[...], real, capacity_factor, settings.choices, draw)
    dispatcher = gather_mixture if settings.dispatcher == "gather" else einsum_mixture
    weights = layer.input[...].astype(x.dtype), layer.output[...].astype(x.dtype)
    change = constrain(dispatcher(rows, routing, *weights, activation(settings)), "GTM")
    tokens = TokenRouting(routing.expert.reshape(*x.shape[:2], -1), routing.entropy.reshape(x.shape[:2]))
    return constrain(change.reshape(x.shape), "BSM"), losses, counts, tokens


def apply_experts(rows: jax.Array, input_: jax.Array, output: jax.Array, act: Activation) -> jax.Array:
    """Apply each expert to its rows: (E, rows, M) to (E, rows, M)."""
    hidden = act(constrain(jnp.einsum("ERM,EMH->ERH", constrain(rows, "ERM"), input_), "ERH"))
    return constrain(jnp.einsum("ERH,EHM->ERM", hidden, output), "ERM")


def einsum_mixture(x: jax.Array, routing: Routing, input_: jax.Array, output: jax.Array, act: Activation) -> jax.Array:
    """Dispatch and combine by one-hot matrices (G, T, E, C)."""
    experts, capacity = input_.shape[0], routing.capacity
    expert = jax.nn.one_hot(routing.expert, experts, dtype=x.dtype)
    slot = jax.nn.one_hot(routing.slot, capacity, dtype=x.dtype)  # a dropped choice has a slot beyond C: a row of zeros
    dispatch = constrain(jnp.einsum("GTKE,GTKC->GTEC", expert, slot), "GTEC")
    combine = constrain(jnp.einsum("GTKE,GTKC,GTK->GTEC", expert, slot, routing.gate.astype(x.dtype)), "GTEC")
    rows = jnp.einsum("GTEC,GTM->EGCM", dispatch, x).reshape(experts, -1, x.shape[-1])
    outputs = apply_experts(rows, input_, output, act).reshape(experts, -1, capacity, x.shape[-1])
    return jnp.einsum("GTEC,EGCM->GTM", combine, constrain(outputs, "EGCM by group"))


def gather_mixture(x: jax.Array, routing: Routing, input_: jax.Array, output: jax.Array, act: Activation) -> jax.Array:
    """Dispatch and combine by gathering rows."""
    experts, width = input_.shape[0], x.shape[-1]
    row_of_choice, choice_of_row = _rows(routing, experts)
    rows = _dispatch(x.reshape(-1, width), row_of_choice, choice_of_row)
    outputs = apply_experts(rows.reshape(experts, -1, width), input_, output, act).reshape(-1, width)
    choices = routing.gate.shape[-1]
    return _combine(outputs, routing.gate.reshape(-1, choices), row_of_choice, choice_of_row).reshape(x.shape)


def _rows(routing: Routing, experts: int) -> tuple[jax.Array, jax.Array]:
    """Return the row, of E·G·C in that order, of every choice (G·T, K), and the choice, of G·T·K, of every row.

    What does not exist is numbered one past the last: the row of a dropped choice, the choice of an empty row.
    """
    groups, tokens, per_token = routing.expert.shape
    rows, choices = experts * groups * routing.capacity, groups * tokens * per_token
    group = jnp.arange(groups, dtype=jnp.int32)[:, None, None]
    row = (routing.expert * groups + group) * routing.capacity + routing.slot
    row = jnp.where(routing.slot < routing.capacity, row, rows)
    choice_of_row = jnp.full((rows,), choices, jnp.int32)
    choice_of_row = choice_of_row.at[row.reshape(-1)].set(jnp.arange(choices, dtype=jnp.int32), mode="drop")
    return row.reshape(-1, per_token), choice_of_row


def _take(rows: jax.Array, index: jax.Array) -> jax.Array:
    """Return rows by number; a number past the last gives zeros."""
    return jnp.take(rows, index, axis=0, mode="fill", fill_value=0)


@jax.custom_vjp
def _dispatch(  # the row of each choice serves the gradient
    x: jax.Array,
    row_of_choice: jax.Array,
    choice_of_row: jax.Array,
) -> jax.Array:
    """Carry tokens (tokens, M) to the experts' rows (E·G·C, M); an empty row is zero."""
    return _take(x, choice_of_row // row_of_choice.shape[1])


def _dispatch_forward(x: jax.Array, row_of_choice: jax.Array, choice_of_row: jax.Array) -> tuple[jax.Array, jax.Array]:
    return _dispatch(x, row_of_choice, choice_of_row), row_of_choice


def _dispatch_backward(row_of_choice: jax.Array, gradient: jax.Array) -> tuple[jax.Array, np.ndarray, np.ndarray]:
    token_gradient = sum(_take(gradient, row_of_choice[:, k]) for k in range(row_of_choice.shape[1]))
    return token_gradient, _no_gradient(row_of_choice.shape), _no_gradient(gradient.shape[:1])


_dispatch.defvjp(_dispatch_forward, _dispatch_backward)


@jax.custom_vjp
def _combine(  # the choice of each row serves the gradient
    outputs: jax.Array,
    gate: jax.Array,
    row_of_choice: jax.Array,
    choice_of_row: jax.Array,  # noqa: ARG001
) -> jax.Array:
    """Bring the experts' outputs (E·G·C, M) back to the tokens (tokens, M), weighted by the gate (tokens, K)."""
    weights = gate.astype(outputs.dtype)
    return sum(_take(outputs, row_of_choice[:, k]) * weights[:, k, None] for k in range(gate.shape[1]))


CombineResiduals = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


def _combine_forward(
    outputs: jax.Array, gate: jax.Array, row_of_choice: jax.Array, choice_of_row: jax.Array
) -> tuple[jax.Array, CombineResiduals]:
    saved = (outputs, gate, row_of_choice, choice_of_row)
    return _combine(*saved), saved


def _combine_backward(
    saved: CombineResiduals, gradient: jax.Array
) -> tuple[jax.Array, jax.Array, np.ndarray, np.ndarray]:
    outputs, gate, row_of_choice, choice_of_row = saved
    gate_of_row = _take(gate.reshape(-1), choice_of_row).astype(gradient.dtype)
    output_gradient = _take(gradient, choice_of_row // gate.shape[1]) * gate_of_row[:, None]
    products = [_take(outputs, row_of_choice[:, k]) * gradient for k in range(gate.shape[1])]
    gate_gradient = jnp.stack([jnp.sum(p.astype(jnp.float32), axis=-1) for p in products], axis=-1)
    return output_gradient, gate_gradient, _no_gradient(row_of_choice.shape), _no_gradient(choice_of_row.shape)


_combine.defvjp(_combine_forward, _combine_backward)


def _no_gradient(shape: tuple[int, ...]) -> np.ndarray:
    """Return the gradient that JAX wants for integers."""
    return np.zeros(shape, jax.dtypes.float0)
