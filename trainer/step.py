"""One update as a compiled program: state and batch in, state and metrics out.

Programs are kept by their settings, so several runs in one process that differ in data, weights or seed compile once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from trainer import adafactor
from trainer.adafactor import AdafactorState
from trainer.batch import Batch
from trainer.config import ModelSettings, OptimizerSettings, TrainingConfig
from trainer.model.decoder import Routers
from trainer.model.loss import Losses, losses, objective, totals
from trainer.model.parameters import Decoder, initialize, is_stacked, named_arrays, with_arrays
from trainer.model.routing import Draw
from trainer.schedule import learning_rate
from trainer.sharding import (
    ACTIVATIONS,
    constrain,
    constrain_decoder,
    constrain_optimizer,
    constrain_whole,
    decoder_specs,
    on_mesh,
    optimizer_specs,
    placed,
)


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


Step = Callable[[TrainState, jax.Array, jax.Array, Batch], tuple[TrainState, StepMetrics]]

ROUTING_PURPOSE = 1
"""Sets the keys of random routing apart from those of the initial weights."""


@cache
def compiled_start(
    model: ModelSettings, optimizer: OptimizerSettings, vocabulary_size: int, mesh: Mesh | None = None
) -> Callable[..., TrainState]:
    """Return the program that makes the first state from a seed: the same on any mesh."""

    def start(seed: jax.Array) -> TrainState:
        decoder = initialize(model, vocabulary_size, jax.random.key(seed))
        state = TrainState(decoder, adafactor.initial_state(named_arrays(decoder), is_stacked, optimizer))
        return _laid_out(state, optimizer)

    return jax.jit(on_mesh(start, mesh))


@cache
def compiled_step(
    model: ModelSettings,
    optimizer: OptimizerSettings,
    steps: int,
    loss_chunk: int,
    micro_batches: int = 1,
    mesh: Mesh | None = None,
) -> Step:
    """Return the program of one update, which takes the state's memory: (state, number of the update from 1, seed,
    batch).

    The batch is read in `micro_batches` equal parts, one after the other; losses and gradients are those of the whole.
    """

    def step(state: TrainState, number: jax.Array, seed: jax.Array, batch: Batch) -> tuple[TrainState, StepMetrics]:
        draw = Draw(_routing_key(seed, number), 0) if model.second_expert == "random" else None
        (parts, routers), gradients = _gradients(state.decoder, batch, model, loss_chunk, micro_batches, draw)
        rate = learning_rate(number, steps, optimizer)
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(array)) for array in jax.tree.leaves(gradients)))
        skipped = ~jnp.isfinite(norm)
        new = _updated(state, gradients, rate, optimizer)
        kept = jax.tree.map(lambda before, after: jnp.where(skipped, before, after), state, new)
        told = StepMetrics(parts, routers, jnp.sum(batch.counted), rate, norm, skipped)
        return _laid_out(kept, optimizer), constrain_whole(told)

    return jax.jit(on_mesh(step, mesh), donate_argnums=0)


def abstract_arguments(
    config: TrainingConfig, vocabulary_size: int, sequence_length: int, mesh: Mesh | None = None
) -> tuple[TrainState, Any, Any, Batch]:
    """Return what `compiled_step` takes, as shapes, types and places on the mesh: nothing is computed."""
    state = jax.eval_shape(compiled_start(config.model, config.optimizer, vocabulary_size), 0)
    size = (config.training.batch_rows, sequence_length)
    tokens = jax.ShapeDtypeStruct(size, jnp.int32)
    batch = Batch(tokens, tokens, tokens, jax.ShapeDtypeStruct(size, jnp.bool_))
    number = jax.ShapeDtypeStruct((), jnp.int32)
    if mesh is None:
        return state, number, number, batch
    decoder = placed(state.decoder, decoder_specs(state.decoder), mesh)
    optimizer = placed(state.optimizer, optimizer_specs(state.optimizer, state.decoder, config.optimizer), mesh)
    specs = Batch(*(ACTIVATIONS["BS"] for _ in batch))
    return TrainState(decoder, optimizer), number, number, placed(batch, specs, mesh)


def _laid_out(state: TrainState, settings: OptimizerSettings) -> TrainState:
    """Return a state, each array where the table of `trainer.sharding` has it."""
    optimizer = constrain_optimizer(state.optimizer, state.decoder, settings)
    return TrainState(constrain_decoder(state.decoder), optimizer)


def _routing_key(seed: jax.Array, number: jax.Array) -> jax.Array:
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), ROUTING_PURPOSE), number)


Told = tuple[Losses, Routers | None]


def _gradients(
    decoder: Decoder, batch: Batch, model: ModelSettings, loss_chunk: int, micro_batches: int, draw: Draw | None
) -> tuple[Told, Decoder]:
    """Return the losses, what the routers did, and the gradient of the objective over a batch."""
    whole = totals(batch, model)

    def weighed(decoder: Decoder, part: Batch, draw: Draw | None) -> tuple[jax.Array, Told]:
        told = losses(decoder, part, model, loss_chunk, draw, whole)
        return objective(told[0], model), told

    differentiate = jax.value_and_grad(weighed, has_aux=True)
    if micro_batches == 1:
        return _told_and_gradients(differentiate(decoder, batch, draw))

    groups = batch.inputs.size // micro_batches // model.group_size

    def add(sums: Any, item: tuple[jax.Array, Batch]) -> tuple[Any, None]:
        number, part = item
        own = draw and draw._replace(first_group=number * groups)
        return jax.tree.map(jnp.add, sums, _told_and_gradients(differentiate(decoder, part, own))), None

    parts = jax.tree.map(lambda array: constrain(array.reshape(micro_batches, -1, *array.shape[1:]), "UBS"), batch)
    first = jax.tree.map(lambda array: array[0], parts)
    shapes = jax.eval_shape(lambda: _told_and_gradients(differentiate(decoder, first, draw)))
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    sums, _ = jax.lax.scan(add, nothing, (jnp.arange(micro_batches), parts))
    return sums


def _told_and_gradients(answer: tuple[tuple[jax.Array, Told], Decoder]) -> tuple[Told, Decoder]:
    (_, told), gradients = answer
    return told, constrain_decoder(gradients)


def _updated(state: TrainState, gradients: Decoder, rate: jax.Array, settings: OptimizerSettings) -> TrainState:
    arrays, moments = adafactor.update(
        named_arrays(state.decoder), named_arrays(gradients), state.optimizer, rate, is_stacked, settings
    )
    return TrainState(with_arrays(state.decoder, arrays), moments)
