"""RMSNorm (Zhang and Sennrich, 2019): (…, M) and a scale (M,) to (…, M); no bias, epsilon as in the authors' code."""

from __future__ import annotations

import jax
import jax.numpy as jnp

EPSILON = 1e-6


def rms_norm(x: jax.Array, scale: jax.Array) -> jax.Array:
    """Divide each row by its root mean square, in float32, and multiply by `scale`."""
    wide = x.astype(jnp.float32)
    mean_square = jnp.mean(jnp.square(wide), axis=-1, keepdims=True)
    return (wide * jax.lax.rsqrt(mean_square + EPSILON) * scale).astype(x.dtype)
