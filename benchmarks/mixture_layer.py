"""A mixture layer, forward and backward, beside the dense feed-forward of equal FLOPs a token, in one run.

    python benchmarks/mixture_layer.py [--json]

M = 256, H = 1,024, 4,096 tokens in groups of 1,024, capacity factor 2.0 (GShard's: both choices count), float32, on the
CPU with the threads that JAX takes by itself. Each program gives the gradients of parameters and input; norm, router
and auxiliary loss are part of the mixture, the norm is part of its twin. Programs run in turn; the least CPU seconds of
each count. The goals are what a prototype of the same layer took, and what this one aims at.
"""

from __future__ import annotations

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from figures import Figure, show
from measuring import least_cpu_seconds

from trainer.config import ModelSettings
from trainer.huge_pages import restart_with_huge_pages
from trainer.model.experts import mixture
from trainer.model.feed_forward import plain_feed_forward
from trainer.model.parameters import Mixture, PlainFeedForward, initialize

BENCHMARK = "mixture_layer"
ROWS, SEQUENCE_LENGTH = 16, 256
ROUNDS = 8
GOALS = {8: (1.33, 1.15), 64: (1.78, 1.4)}
"""By number of experts: the most that the ratio may be, and what it aims at."""


def settings(experts: int, dispatcher: str = "gather") -> ModelSettings:
    """Return the settings of the layer."""
    values = {"layers": 2, "model_dim": 256, "hidden_dim": 1024, "capacity_factor": 2.0, "group_size": 1024}
    return ModelSettings.model_validate(values | {"experts": experts, "dispatcher": dispatcher})


def gradients(model: ModelSettings) -> Callable[[], object]:
    """Return a program that computes the gradients of a layer's parameters and input, and waits for them."""
    keys = jax.random.split(jax.random.key(0), 3)
    stack = initialize(model, 2, keys[0]).even_layers.feed_forward
    layer = jax.tree.map(lambda array: array[0], stack)
    x, upstream = (jax.random.normal(key, (ROWS, SEQUENCE_LENGTH, model.model_dim)) for key in keys[1:])

    def objective(layer: Mixture | PlainFeedForward, x: jax.Array) -> jax.Array:
        if isinstance(layer, PlainFeedForward):
            return jnp.sum(plain_feed_forward(layer, x, model) * upstream)
        real = jnp.ones(x.shape[:2], bool)
        change, losses, *_ = mixture(layer, x, real, model, model.capacity_factor)
        return jnp.sum(change * upstream) + model.auxiliary_loss_weight * losses.auxiliary

    program = jax.jit(jax.grad(objective, argnums=(0, 1)))
    return lambda: jax.block_until_ready(program(layer, x))


def compare() -> Iterator[Figure]:
    """Measure all programs in turn and yield the figures."""
    programs = {"twin": gradients(settings(0)), "einsum": gradients(settings(8, "einsum"))}
    programs |= {str(experts): gradients(settings(experts)) for experts in GOALS}
    seconds = least_cpu_seconds(programs, ROUNDS)
    note = f"{seconds['twin'] * 1e3:,.0f} ms for {ROWS * SEQUENCE_LENGTH:,} tokens"
    yield Figure(BENCHMARK, "dense twin, FLOP-equal", 1.0, "x its CPU s", note=note)
    for experts, (most, aim) in GOALS.items():
        ratio = seconds[str(experts)] / seconds["twin"]
        note = f"aim {aim:g}: {'reached' if ratio <= aim else 'not reached'}"
        goal = f"<= {most:g}"
        yield Figure(BENCHMARK, f"{experts} experts, gather", ratio, "x its CPU s", goal, ratio <= most, note)
    ratio = seconds["einsum"] / seconds["twin"]
    yield Figure(BENCHMARK, "8 experts, einsum", ratio, "x its CPU s", note="the dispatcher of a mesh")


if __name__ == "__main__":
    restart_with_huge_pages()  # as `glam train` does
    show(compare())
