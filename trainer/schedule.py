"""The learning rate of each update, relative to the parameters' own size (Adafactor multiplies by it)."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from trainer.config import OptimizerSettings


def learning_rate(update: jax.Array, steps: int, settings: OptimizerSettings) -> jax.Array:
    """Return the rate of an update.

    Args:
        update: number of the update, from 1.
        steps: updates in all.
        settings: which schedule.
    """
    number = update.astype(jnp.float32)
    if settings.schedule == "inverse_square_root":
        return settings.learning_rate * jax.lax.rsqrt(jnp.maximum(number / settings.constant_steps, 1.0))
    warmup = max(1.0, settings.warmup_share * steps)
    remaining = jnp.clip((steps - number) / max(steps - warmup, 1.0), 0.0, 1.0)
    falling = settings.final_share + (1.0 - settings.final_share) * remaining
    return settings.learning_rate * jnp.minimum(number / warmup, 1.0) * falling
