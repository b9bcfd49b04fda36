"""One update as a compiled program: state and batch in, state and metrics out.

Programs are kept by their settings, so several runs in one process that differ in data, weights or seed compile once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp

from trainer import adafactor
from trainer.adafactor import AdafactorState
from trainer.batch import Batch
from trainer.config import ModelSettings, OptimizerSettings
from trainer.model.decoder import Routers
from trainer.model.loss import Losses, losses, objective
from trainer.model.parameters import Decoder, initialize, is_stacked, named_arrays, with_arrays
from trainer.schedule import learning_rate


class TrainState(NamedTuple):
    """Parameters and what the optimizer remembers."""

    decoder: Decoder
    optimizer: AdafactorState


class StepMetrics(NamedTuple):
    """What one update tells; scalars but for the routers'.

    Attributes:
        losses: apart, before the update.
        routers: of a mixture model, with a first axis over its mixture layers; None for a dense one.
        tokens: targets that counted.
        learning_rate: relative to the parameters' size.
        gradient_norm: over all parameters.
        skipped: whether the gradient was not finite, so that parameters and optimizer stayed as they were.
    """

    losses: Losses
    routers: Routers | None
    tokens: jax.Array
    learning_rate: jax.Array
    gradient_norm: jax.Array
    skipped: jax.Array


Step = Callable[[TrainState, jax.Array, Batch], tuple[TrainState, StepMetrics]]


@cache
def compiled_start(
    model: ModelSettings, optimizer: OptimizerSettings, vocabulary_size: int
) -> Callable[..., TrainState]:
    """Return the program that makes the first state from a seed."""

    def start(seed: jax.Array) -> TrainState:
        decoder = initialize(model, vocabulary_size, jax.random.key(seed))
        return TrainState(decoder, adafactor.initial_state(named_arrays(decoder), is_stacked, optimizer))

    return jax.jit(start)


@cache
def compiled_step(model: ModelSettings, optimizer: OptimizerSettings, steps: int, loss_chunk: int) -> Step:
    """Return the program of one update, which takes the state's memory: (state, number of the update from 1, batch)."""

    def step(state: TrainState, number: jax.Array, batch: Batch) -> tuple[TrainState, StepMetrics]:
        def weighed(decoder: Decoder) -> tuple[jax.Array, tuple[Losses, Routers | None]]:
            parts, routers = losses(decoder, batch, model, loss_chunk)
            return objective(parts, model), (parts, routers)

        (_, (parts, routers)), gradients = jax.value_and_grad(weighed, has_aux=True)(state.decoder)
        rate = learning_rate(number, steps, optimizer)
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(array)) for array in jax.tree.leaves(gradients)))
        skipped = ~jnp.isfinite(norm)
        new = _updated(state, gradients, rate, optimizer)
        kept = jax.tree.map(lambda before, after: jnp.where(skipped, before, after), state, new)
        return kept, StepMetrics(parts, routers, jnp.sum(batch.counted), rate, norm, skipped)

    return jax.jit(step, donate_argnums=0)


def _updated(state: TrainState, gradients: Decoder, rate: jax.Array, settings: OptimizerSettings) -> TrainState:
    arrays, moments = adafactor.update(
        named_arrays(state.decoder), named_arrays(gradients), state.optimizer, rate, is_stacked, settings
    )
    return TrainState(with_arrays(state.decoder, arrays), moments)
