"""Adafactor (Shazeer and Stern, 2018) as GLaM used it: no first moment, factored second moments, relative step sizes.

In: parameters and gradients by name, as float32 arrays, and the moments. Out: new parameters and moments. Parameters
whose layers are stacked along a first axis are updated layer by layer: clipping, parameter scale and factoring never
mix layers (optax's would). On parameters that are not stacked it gives what optax's `adafactor` gives with the same
settings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from trainer.config import OptimizerSettings

Arrays = dict[str, jax.Array]


class Moments(NamedTuple):
    """Second moments of one parameter: `full` (the parameter's shape), or means over its rows and over its columns.

    The two largest axes of a factored parameter are its columns (the larger) and rows; what is not used is None.
    """

    full: jax.Array | None = None
    over_rows: jax.Array | None = None
    over_columns: jax.Array | None = None


class AdafactorState(NamedTuple):
    """Updates done so far (int32 scalar) and the moments by name."""

    updates: jax.Array
    moments: dict[str, Moments]


def factored_axes(shape: tuple[int, ...], settings: OptimizerSettings) -> tuple[int, int] | None:
    """Return the second largest and the largest axis, or None where the moments stay full."""
    if len(shape) < 2:
        return None
    order = sorted(range(len(shape)), key=lambda axis: shape[axis])  # stable: of equal axes the later counts as larger
    second, largest = order[-2], order[-1]
    return (second, largest) if shape[second] >= settings.min_factored_dim else None


def initial_state(parameters: Arrays, stacked: Callable[[str], bool], settings: OptimizerSettings) -> AdafactorState:
    """Return the state before the first update."""

    def moments(name: str, shape: tuple[int, ...]) -> Moments:
        layers, own = (shape[:1], shape[1:]) if stacked(name) else ((), shape)
        axes = factored_axes(own, settings)
        if axes is None:
            return Moments(full=jnp.zeros(shape))
        over = [jnp.zeros(layers + tuple(size for axis, size in enumerate(own) if axis != left)) for left in axes]
        return Moments(over_rows=over[0], over_columns=over[1])

    return AdafactorState(
        jnp.zeros((), jnp.int32), {name: moments(name, array.shape) for name, array in parameters.items()}
    )


def update(
    parameters: Arrays,
    gradients: Arrays,
    state: AdafactorState,
    learning_rate: jax.Array,
    stacked: Callable[[str], bool],
    settings: OptimizerSettings,
) -> tuple[Arrays, AdafactorState]:
    """Return the parameters and the state after one update at `learning_rate`."""
    updates = state.updates + 1
    decay = 1.0 - updates.astype(jnp.float32) ** -settings.decay_exponent

    def one(parameter: jax.Array, gradient: jax.Array, moments: Moments) -> tuple[jax.Array, Moments]:
        step, moments = _scaled_gradient(gradient, moments, decay, settings)
        step = step / jnp.maximum(1.0, _root_mean_square(step) / settings.clipping_threshold)
        scale = jnp.maximum(_root_mean_square(parameter), settings.parameter_epsilon)
        return parameter - learning_rate * scale * step, moments

    results = {
        name: (jax.vmap(one) if stacked(name) else one)(parameters[name], gradients[name], state.moments[name])
        for name in parameters
    }
    return {name: new for name, (new, _) in results.items()}, AdafactorState(
        updates, {name: moments for name, (_, moments) in results.items()}
    )


def _scaled_gradient(
    gradient: jax.Array, moments: Moments, decay: jax.Array, settings: OptimizerSettings
) -> tuple[jax.Array, Moments]:
    """Return the gradient over the root of its second moment, and the new moments."""
    square = jnp.square(gradient) + settings.gradient_epsilon
    axes = factored_axes(gradient.shape, settings)
    if axes is None:
        full = decay * moments.full + (1.0 - decay) * square
        return gradient * jax.lax.rsqrt(full), moments._replace(full=full)
    rows, columns = axes
    over_rows = decay * moments.over_rows + (1.0 - decay) * jnp.mean(square, axis=rows)
    over_columns = decay * moments.over_columns + (1.0 - decay) * jnp.mean(square, axis=columns)
    left = rows if rows < columns else rows - 1  # where the row axis stands once the column axis is gone
    share = over_columns / jnp.mean(over_columns, axis=left, keepdims=True)
    factors = jnp.expand_dims(jax.lax.rsqrt(share), columns), jnp.expand_dims(jax.lax.rsqrt(over_rows), rows)
    return gradient * factors[0] * factors[1], moments._replace(over_rows=over_rows, over_columns=over_columns)


def _root_mean_square(x: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.mean(jnp.square(x)))
