"""Which token comes next: the likeliest, or one drawn by its probability.

R rows, V vocabulary. In: logits (R, V). Out: ids (R,) int32 and the log-probability (R,) that the model gives each,
which neither temperature nor top-k changes. A draw is a function of (seed, prompt, number of the sample, position of
the token) and of the logits: the prompts beside it do not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from pipelines.store.hashing import KeyedHash

Choice = tuple[jax.Array, jax.Array]


@jax.jit
def likeliest(logits: jax.Array) -> Choice:
    """Return the likeliest token of each row; of equal ones the first."""
    ids = jnp.argmax(logits, axis=-1).astype(jnp.int32)
    return ids, _log_probability(logits, ids)


@partial(jax.jit, static_argnames="top_k")
def draw(logits: jax.Array, seeds: jax.Array, position: jax.Array, temperature: jax.Array, top_k: int) -> Choice:
    """Draw a token of each row by softmax(logits / temperature), among the `top_k` likeliest (0: all).

    Args:
        logits: (R, V) float32.
        seeds: (R, 2) uint32, of `row_seeds`.
        position: number of tokens drawn before.
        temperature: above 0.
        top_k: tokens to draw from.
    """
    noise = jax.vmap(partial(_gumbel, position=position, size=logits.shape[-1]))(seeds)
    noisy = logits / temperature + noise
    if top_k:
        _, best = jax.lax.top_k(logits, top_k)
        place = jnp.argmax(jnp.take_along_axis(noisy, best, axis=-1), axis=-1)
        drawn = jnp.take_along_axis(best, place[:, None], axis=-1)[:, 0]
    else:
        drawn = jnp.argmax(noisy, axis=-1)
    drawn = drawn.astype(jnp.int32)
    return drawn, _log_probability(logits, drawn)


def row_seeds(seed: int, prompts: Sequence[Sequence[int]], samples: Sequence[int]) -> np.ndarray:
    """Return the seeds (R, 2) uint32 of rows: hash(seed, `generate`, sample and token ids), all uint64."""
    hashed = KeyedHash(seed, "generate")
    keys = [np.array([sample, *ids], "<u8").tobytes() for ids, sample in zip(prompts, samples, strict=True)]
    return np.array([divmod(value, 1 << 32) for value in hashed.many(keys)], np.uint32)


def _gumbel(seed: jax.Array, position: jax.Array, size: int) -> jax.Array:
    """Return noise (size,) whose maximum, added to logits, falls on each by its probability (Gumbel)."""
    key = jax.random.key(0, impl="threefry2x32")
    for number in (seed[0], seed[1], position):
        key = jax.random.fold_in(key, number)
    return jax.random.gumbel(key, (size,))


def _log_probability(logits: jax.Array, ids: jax.Array) -> jax.Array:
    chosen = jnp.take_along_axis(logits, ids[:, None], axis=-1)[:, 0]
    return chosen - jax.nn.logsumexp(logits, axis=-1)
