"""Beam search: the likeliest continuation that is found by following the W best ones at a time.

B prompts, W width, V vocabulary.

A continuation that is over keeps its place in the beam: it is worth its log-probability over ((5 + n) / 6)^exponent, n
tokens (Wu et al. 2016, equation 14), and one fewer is followed from then on. So a beam of width 1 is the greedy
choice, and one that is as wide as there are continuations finds the best of all. The search of a prompt ends when
nothing is left to follow, or when nothing that is could still be worth more than the best that is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import numpy as np

from trainer.generation.decoding import Decoding
from trainer.generation.settings import GenerationSettings
from trainer.generation.stopping import Continuation, Stop


def search(decoding: Decoding, prompts: int, stop: Stop, settings: GenerationSettings) -> list[Continuation]:
    """Return the best continuation of each of the first `prompts` rows."""
    width, vocabulary = settings.beam_width, decoding.logits.shape[-1]
    beams = [_Beam(width, stop, settings.length_exponent) for _ in range(prompts)]
    nothing = np.full(width, -np.inf, np.float32)
    rows = len(decoding.logits)
    decoding.repeat(width)
    while True:
        sums = np.stack([beam.sums() for beam in beams] + [nothing] * (rows - prompts))
        found = [np.asarray(array) for array in _expand(decoding.logits, sums, width)]
        for beam, best, places in zip(beams, *found, strict=False):
            beam.take(best, *np.divmod(places, vocabulary))
        if all(beam.over for beam in beams):
            return [beam.best() for beam in beams]
        idle = [(0, 0)] * width
        chosen = np.array([beam.rows() for beam in beams] + [idle] * (rows - prompts), np.int32)
        parents = chosen[..., 0] + width * np.arange(rows)[:, None]
        decoding.advance(chosen[..., 1].reshape(-1), parents.reshape(-1).astype(np.int32))


@partial(jax.jit, static_argnames="width")
def _expand(logits: jax.Array, sums: jax.Array, width: int) -> tuple[jax.Array, jax.Array]:
    """Return the best sums (B, W) of log-probabilities one token on, and where they are among W·V.

    `logits` are (B·W, V), `sums` (B, W) those so far, -inf where nothing is followed.
    """
    further = sums.reshape(-1, 1) + jax.nn.log_softmax(logits, axis=-1)
    return jax.lax.top_k(further.reshape(len(sums), -1), width)


class _Beam:
    """The search of one prompt."""

    def __init__(self, width: int, stop: Stop, exponent: float) -> None:
        self._width, self._stop, self._exponent = width, stop, exponent
        self._followed: list[tuple[float, tuple[int, ...], int]] = [(0.0, (), 0)]
        self._finished: list[tuple[float, Continuation]] = []

    @property
    def over(self) -> bool:
        """Whether the best continuation is known."""
        if not self._followed or not self._finished:
            return not self._followed
        within_reach = self._worth(self._followed[0][0], self._stop.max_tokens)
        return max(worth for worth, _ in self._finished) >= within_reach

    def sums(self) -> np.ndarray:
        """Return the log-probabilities (W,) of what is followed, best first, then -inf."""
        values = np.full(self._width, -np.inf, np.float32)
        values[: len(self._followed)] = [total for total, _, _ in self._followed]
        return values

    def rows(self) -> list[tuple[int, int]]:
        """Return, for each of W places, the place that it goes on from and the token to read; (0, 0) if idle."""
        rows = [(parent, ids[-1]) for _, ids, parent in self._followed]
        return rows + [(0, 0)] * (self._width - len(rows))

    def take(self, sums: Sequence[float], parents: Sequence[int], tokens: Sequence[int]) -> None:
        """Follow the best continuations, as many as the beam has places left; what is over keeps one."""
        if self.over:
            return
        before, self._followed = self._followed, []
        for total, parent, token in zip(sums, parents, tokens, strict=True):
            if len(self._followed) + len(self._finished) == self._width or not np.isfinite(total):
                break
            ids = (*before[int(parent)][1], int(token))
            reason = self._stop.reason(ids)
            if reason is None:
                self._followed.append((float(total), ids, int(parent)))
            else:
                finished = self._stop.finish(ids, float(total), reason)
                self._finished.append((self._worth(float(total), len(ids)), finished))

    def best(self) -> Continuation:
        """Return the continuation that is worth most; of equal ones the first that was over."""
        return max(self._finished, key=lambda item: item[0])[1]

    def _worth(self, log_probability: float, tokens: int) -> float:
        return log_probability / ((5 + tokens) / 6) ** self._exponent
