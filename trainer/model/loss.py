"""From hidden states to losses: cross-entropy of the next token and the output z-loss, each a mean over the tokens
that count.

B batch, S sequence, M model, V vocabulary; rows are B·S. Logits are float32, of the tied embedding times M^-1/2.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from trainer.batch import Batch
from trainer.config import ModelSettings
from trainer.model.decoder import Routers, forward, is_real
from trainer.model.parameters import Decoder
from trainer.model.routing import Draw
from trainer.sharding import constrain


class Losses(NamedTuple):
    """Means over the tokens that count (cross-entropy, in nats, and output z) and sums over layers (the routers')."""

    cross_entropy: jax.Array
    output_z: jax.Array
    auxiliary: jax.Array
    router_z: jax.Array


def logits(decoder: Decoder, hidden: jax.Array) -> jax.Array:
    """Return (…, V) float32 logits of hidden states (…, M)."""
    scaled = hidden * (1 / math.sqrt(hidden.shape[-1]))
    embedding = decoder.embedding[...].astype(hidden.dtype)
    return jnp.einsum("...M,VM->...V", scaled, embedding, preferred_element_type=jnp.float32)


def token_losses(decoder: Decoder, hidden: jax.Array, targets: jax.Array, chunk: int) -> tuple[jax.Array, jax.Array]:
    """Return cross-entropy (nats) and log-partition of each row: (rows, M) and (rows,) to (rows,) and (rows,).

    Args:
        decoder: holds the embedding.
        hidden: (rows, M).
        targets: (rows,) int32.
        chunk: rows whose logits exist at one time (they are computed again for the gradient); 0 means all. It must
            divide the rows.
    """

    def of_rows(rows: jax.Array, wanted: jax.Array) -> tuple[jax.Array, jax.Array]:
        log_partition = jax.nn.logsumexp(constrain(logits(decoder, rows), "RV"), axis=-1)
        return log_partition - _logits_of(decoder, rows, wanted), log_partition

    if chunk == 0 or chunk >= hidden.shape[0]:
        return of_rows(hidden, targets)
    # Piece n takes every (rows / chunk)-th row from the n-th: so each has rows of every device that holds some.
    pieces = jax.tree.map(
        lambda array: jnp.moveaxis(array.reshape(chunk, -1, *array.shape[1:]), 1, 0), (hidden, targets)
    )
    entropy, log_partition = jax.lax.map(jax.checkpoint(lambda piece: of_rows(*piece)), pieces)
    return entropy.T.reshape(-1), log_partition.T.reshape(-1)


def _logits_of(decoder: Decoder, hidden: jax.Array, ids: jax.Array) -> jax.Array:
    """Return each row's logit of one id, (rows,): from the embedding's rows, since picking it from all logits would
    make the gradient a scatter into an array of their size.
    """
    scaled = hidden * (1 / math.sqrt(hidden.shape[-1]))
    rows = decoder.embedding[...].astype(hidden.dtype)[ids]
    return jnp.einsum("RM,RM->R", scaled, rows, preferred_element_type=jnp.float32)


class Totals(NamedTuple):
    """What the means of a whole batch divide by: targets that count, tokens that are routed."""

    counted: jax.Array
    real: jax.Array


def totals(batch: Batch, settings: ModelSettings) -> Totals:
    """Return the totals of a batch."""
    places = jnp.ones_like(batch.counted) if settings.padding == "counted" else batch.counted
    return Totals(jnp.sum(places), jnp.sum(is_real(batch.segments, settings)))


def losses(
    decoder: Decoder,
    batch: Batch,
    settings: ModelSettings,
    chunk: int,
    draw: Draw | None = None,
    whole: Totals | None = None,
) -> tuple[Losses, Routers | None]:
    """Return the losses of a batch in training, apart, and what the routers did.

    Args:
        decoder: parameters.
        batch: a batch, or a micro-batch of one.
        settings: of the model.
        chunk: see `token_losses`.
        draw: of the update, for the random policy for second experts.
        whole: of the batch that this is a micro-batch of: the losses and the routers' means of its micro-batches then
            add up to those of the batch.
    """
    hidden, routers = forward(decoder, batch.inputs, batch.segments, settings, settings.capacity_factor, draw)
    entropy, log_partition = token_losses(
        decoder, hidden.reshape(-1, hidden.shape[-1]), batch.targets.reshape(-1), chunk
    )
    own = totals(batch, settings)
    whole = whole or own
    counted = batch.counted.reshape(-1)
    tokens = jnp.maximum(whole.counted, 1)
    share = own.real / jnp.maximum(whole.real, 1)
    none = jnp.zeros(())
    if routers is not None:
        entropies = routers.counts.entropy * share
        routers = Routers(
            jax.tree.map(lambda loss: loss * share, routers.losses), routers.counts._replace(entropy=entropies)
        )
    return Losses(
        cross_entropy=jnp.sum(entropy * counted) / tokens,
        output_z=jnp.sum(jnp.square(log_partition) * counted) / tokens,
        auxiliary=jnp.sum(routers.losses.auxiliary) if routers else none,
        router_z=jnp.sum(routers.losses.router_z) if routers else none,
    ), routers


def objective(parts: Losses, settings: ModelSettings) -> jax.Array:
    """Return what the optimizer lowers: cross-entropy plus the other losses by their weights."""
    return (
        parts.cross_entropy
        + settings.auxiliary_loss_weight * parts.auxiliary
        + settings.router_z_loss_weight * parts.router_z
        + settings.output_z_loss_weight * parts.output_z
    )
