"""The compiled program of every evaluation: how well a model predicts each target of a batch.

B batch, S sequence, M model, V vocabulary. In: a decoder and a `Batch`. Out: cross-entropy (nats) of every target and
whether it is the likeliest token, (B, S), and where asked for what the routers did with every token. No choice of an
expert is dropped, so that nothing depends on the rest of the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp

from trainer.batch import Batch
from trainer.config import ModelSettings
from trainer.model.decoder import forward
from trainer.model.loss import logits
from trainer.model.parameters import Decoder
from trainer.model.routing import TokenRouting

_ROWS_AT_ONCE = 512
"""Targets whose logits exist at one time, at most."""


class TokenScores(NamedTuple):
    """Of every target of a batch, (B, S).

    Attributes:
        nats: float32, 0 where the target does not count.
        likeliest: bool, whether no other token is likelier.
        routing: of the input that each target follows, with a first axis over the mixture layers; None where it was
            not asked for, or the model is dense.
    """

    nats: jax.Array
    likeliest: jax.Array
    routing: TokenRouting | None = None


@cache
def compiled_token_scores(model: ModelSettings, routing: bool = False) -> Callable[[Decoder, Batch], TokenScores]:
    """Return the program for a model, that tells the routing too if wanted."""

    def scores(decoder: Decoder, batch: Batch) -> TokenScores:
        hidden, routers = forward(decoder, batch.inputs, batch.segments, model, None, every_token=routing)
        rows = hidden.reshape(-1, hidden.shape[-1])
        chunk = min(model.group_size, _ROWS_AT_ONCE)
        pieces = -1, chunk if rows.shape[0] % chunk == 0 else rows.shape[0]
        nats, likeliest = jax.lax.map(
            lambda piece: _of_rows(decoder, *piece),
            (rows.reshape(*pieces, rows.shape[-1]), batch.targets.reshape(pieces)),
        )
        shape = batch.targets.shape
        counted = nats.reshape(shape) * jnp.asarray(batch.counted)
        return TokenScores(counted, likeliest.reshape(shape), routers.tokens if routers else None)

    return jax.jit(scores)


def _of_rows(decoder: Decoder, hidden: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
    of_all = logits(decoder, hidden)
    own = jnp.take_along_axis(of_all, targets[:, None], axis=1)[:, 0]
    return jax.nn.logsumexp(of_all, axis=-1) - own, own >= jnp.max(of_all, axis=-1)
