"""The programs of generation, on a fixed set of shapes: read prompts, read one more token of every row.

R rows, S prompt, T slots, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from trainer.config import ModelSettings
from trainer.generation.cache import Cache, empty_cache, extend
from trainer.model.loss import logits
from trainer.model.parameters import Decoder


class Decoding:
    """Rows that a decoder goes on with, token by token.

    Args:
        decoder: parameters.
        settings: of the model.
        prompts: (R, S) int32, padded at the left.
        real: (R, S) bool, false for padding.
        tokens: most that a row goes on for.

    Attributes:
        logits: (R, V) float32, of the next token.
    """

    def __init__(
        self, decoder: Decoder, settings: ModelSettings, prompts: np.ndarray, real: np.ndarray, tokens: int
    ) -> None:
        self._decoder, self._settings = decoder, settings
        self._used = prompts.shape[1]
        self.logits, self._cache = _compiled_prefill(settings, self._used + tokens)(decoder, prompts, real)

    def repeat(self, times: int) -> None:
        """Make `times` rows of every row, one after the other."""
        self.logits, self._cache = _compiled_repeat(times)(self.logits, self._cache)

    def advance(self, ids: jax.Array | np.ndarray, parents: jax.Array | np.ndarray | None = None) -> None:
        """Read one more token of every row.

        Args:
            ids: (R,) int32.
            parents: (R,) int32, the row that each row goes on from; its own if None.
        """
        if parents is not None:
            self._cache = _take_rows(self._cache, parents)
        step = _compiled_step(self._settings)
        self.logits, self._cache = step(self._decoder, self._cache, jnp.int32(self._used), ids)
        self._used += 1


Prefill = Callable[[Decoder, np.ndarray, np.ndarray], tuple[jax.Array, Cache]]
Step = Callable[..., tuple[jax.Array, Cache]]


@cache
def _compiled_prefill(settings: ModelSettings, slots: int) -> Prefill:
    def prefill(decoder: Decoder, prompts: jax.Array, real: jax.Array) -> tuple[jax.Array, Cache]:
        hidden, kept = extend(decoder, empty_cache(len(prompts), slots, settings), 0, prompts, real, settings)
        return logits(decoder, hidden[:, -1]), kept

    return jax.jit(prefill)


@cache
def _compiled_step(settings: ModelSettings) -> Step:
    def step(decoder: Decoder, kept: Cache, used: jax.Array, ids: jax.Array) -> tuple[jax.Array, Cache]:
        hidden, kept = extend(decoder, kept, used, ids[:, None], jnp.ones((len(ids), 1), bool), settings)
        return logits(decoder, hidden[:, 0]), kept

    return jax.jit(step, donate_argnums=1)


@cache
def _compiled_repeat(times: int) -> Callable[[jax.Array, Cache], tuple[jax.Array, Cache]]:
    return jax.jit(lambda *arrays: jax.tree.map(lambda array: jnp.repeat(array, times, axis=0), arrays))


@partial(jax.jit, donate_argnums=0)
def _take_rows(kept: Cache, rows: jax.Array) -> Cache:
    return jax.tree.map(lambda array: array[rows], kept)
