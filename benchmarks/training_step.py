"""A whole training step's share of what this machine's matrix multiplication reaches, in one run.

    python benchmarks/training_step.py [--json]

L = 4, M = 256, H = 1,024, 4 heads, V = 8,192, 16 sequences of 256 tokens in groups of 1,024, capacity factor 2.0,
float32, on the CPU with the threads that JAX takes by itself: forward, backward, Adafactor, metrics. FLOPs are the
closed form's (`trainer.accounting`), attention over half of the sequence, as causal attention needs. The peer is a
product of two 1,024 x 1,024 matrices in the same process, many times before and after the steps: on a loaded machine
few of them reach the peak, and a peak measured too low makes the share too high. Both are rates in FLOPs a CPU second,
and the least CPU seconds of each count.
"""

from __future__ import annotations

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from figures import Figure, show
from measuring import least_cpu_seconds

from trainer import adafactor
from trainer.accounting import cost
from trainer.batch import Batch
from trainer.config import ModelSettings, OptimizerSettings
from trainer.huge_pages import restart_with_huge_pages
from trainer.model.parameters import is_stacked, named_arrays
from trainer.step import compiled_start, compiled_step

BENCHMARK = "training_step"
ROWS, SEQUENCE_LENGTH, VOCABULARY = 16, 256, 8192
TOKENS = ROWS * SEQUENCE_LENGTH
MATRIX = 1024
PRODUCTS = 60
ROUNDS = 4
LEAST_SHARE, AIM = 0.52, 0.60
OPTIMIZER = OptimizerSettings()


def settings(experts: int) -> ModelSettings:
    """Return the settings of the model."""
    sizes = {"layers": 4, "model_dim": 256, "hidden_dim": 1024, "heads": 4, "head_dim": 64}
    return ModelSettings.model_validate(sizes | {"experts": experts, "capacity_factor": 2.0, "group_size": 1024})


def flops(model: ModelSettings) -> int:
    """Return the FLOPs of a step."""
    return TOKENS * cost(model, VOCABULARY, SEQUENCE_LENGTH // 2).training_flops


def training_step(model: ModelSettings) -> Callable[[], object]:
    """Return a program that makes one update after the other and waits for each."""
    state = compiled_start(model, OPTIMIZER, VOCABULARY)(jnp.int32(0))
    program = compiled_step(model, OPTIMIZER, 1000, 0)
    ids = np.asarray(jax.random.randint(jax.random.key(1), (ROWS, SEQUENCE_LENGTH + 1), 0, VOCABULARY))
    shape = (ROWS, SEQUENCE_LENGTH)
    batch = Batch(ids[:, :-1], ids[:, 1:], np.ones(shape, np.int32), np.ones(shape, bool))

    def update() -> None:
        nonlocal state
        state, _ = jax.block_until_ready(program(state, jnp.int32(1), jnp.int32(0), batch))

    return update


def optimizer_update(model: ModelSettings) -> Callable[[], object]:
    """Return a program that applies Adafactor alone."""
    arrays = named_arrays(compiled_start(model, OPTIMIZER, VOCABULARY)(jnp.int32(0)).decoder)
    moments = adafactor.initial_state(arrays, is_stacked, OPTIMIZER)
    program = jax.jit(lambda *given: adafactor.update(*given, jnp.float32(0.01), is_stacked, OPTIMIZER))
    return lambda: jax.block_until_ready(program(arrays, arrays, moments))


def matrix_product() -> Callable[[], object]:
    """Return a program that multiplies two square matrices."""
    left, right = (jax.random.normal(jax.random.key(seed), (MATRIX, MATRIX)) for seed in (1, 2))
    program = jax.jit(jnp.matmul)
    return lambda: jax.block_until_ready(program(left, right))


def compare() -> Iterator[Figure]:
    """Measure all programs and yield the figures."""
    model = settings(8)
    product = {"peak": matrix_product()}
    before = least_cpu_seconds(product, PRODUCTS)["peak"]
    seconds = least_cpu_seconds({"step": training_step(model), "optimizer": optimizer_update(model)}, ROUNDS)
    peak = 2 * MATRIX**3 / min(before, least_cpu_seconds(product, PRODUCTS)["peak"])
    yield Figure(BENCHMARK, f"matrices of {MATRIX:,}", peak / 1e9, "GFLOPs / CPU s", note="the peak")
    share = flops(model) / seconds["step"] / peak
    aim = f"aim {AIM:.0%}: {'reached' if share >= AIM else 'not reached'}"
    note = f"{TOKENS / seconds['step']:,.0f} tokens / CPU s; {aim}"
    goal = f">= {LEAST_SHARE:.0%}"
    yield Figure(BENCHMARK, "step, 8 experts", share * 100, "% of the peak", goal, share >= LEAST_SHARE, note)
    share = seconds["optimizer"] / seconds["step"]
    yield Figure(BENCHMARK, "Adafactor alone, 8 experts", share * 100, "% of the step's CPU s")


if __name__ == "__main__":
    restart_with_huge_pages()  # as `glam train` does
    show(compare())
