"""The parameters of the decoder and their initial values; the mathematics is in the modules beside this one.

M model width, H hidden width, N heads, D head width, E experts, K choices, V vocabulary, R buckets of relative
distance, P pairs of layers.

In: settings, vocabulary size, a JAX key. Out: a `Decoder`, which is a pytree of float32 arrays. Layers of a kind are
stacked along a first axis P, so that a program may loop over them or scan; nothing else mixes them. Initial values as
in the authors' public code (praxis, `glam.py`): normal for attention and embedding, uniform with variance 1 / fan-in
for feed-forward and router.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from trainer.config import ModelSettings


def _normal(rngs: nnx.Rngs, shape: Sequence[int], deviation: float) -> nnx.Param[jax.Array]:
    return nnx.Param(jax.random.normal(rngs.params(), tuple(shape)) * deviation)


def _uniform(rngs: nnx.Rngs, shape: Sequence[int], fan_in: int) -> nnx.Param[jax.Array]:
    bound = math.sqrt(3 / fan_in)
    return nnx.Param(jax.random.uniform(rngs.params(), tuple(shape), minval=-bound, maxval=bound))


class Attention(nnx.Module):
    """Scale of the norm (P, M); query, key, value (P, M, N, D); output (P, N, D, M); relative bias (P, R, N)."""

    def __init__(self, settings: ModelSettings, rngs: nnx.Rngs) -> None:
        pairs, width = settings.layers // 2, settings.model_dim
        heads, head_dim, buckets = settings.heads, settings.head_dim, settings.relative_buckets
        self.norm = nnx.Param(jnp.ones((pairs, width)))
        self.query = _normal(rngs, (pairs, width, heads, head_dim), (width * head_dim) ** -0.5)
        self.key = _normal(rngs, (pairs, width, heads, head_dim), width**-0.5)
        self.value = _normal(rngs, (pairs, width, heads, head_dim), width**-0.5)
        self.output = _normal(rngs, (pairs, heads, head_dim, width), (heads * head_dim) ** -0.5)
        self.relative_bias = _normal(rngs, (pairs, buckets, heads), (heads * buckets) ** -0.5)


class GatedFeedForward(nnx.Module):
    """Scale of the norm (P, M); gate and linear (P, M, H); output (P, H, M)."""

    def __init__(self, settings: ModelSettings, rngs: nnx.Rngs) -> None:
        pairs, width, hidden = settings.layers // 2, settings.model_dim, settings.hidden_dim
        self.norm = nnx.Param(jnp.ones((pairs, width)))
        self.gate = _uniform(rngs, (pairs, width, hidden), width)
        self.linear = _uniform(rngs, (pairs, width, hidden), width)
        self.output = _uniform(rngs, (pairs, hidden, width), hidden)


class PlainFeedForward(nnx.Module):
    """Scale of the norm (P, M); input (P, M, F); output (P, F, M): F is H, or K·H in the dense twin of K experts."""

    def __init__(self, settings: ModelSettings, rngs: nnx.Rngs, hidden: int) -> None:
        pairs, width = settings.layers // 2, settings.model_dim
        self.norm = nnx.Param(jnp.ones((pairs, width)))
        self.input = _uniform(rngs, (pairs, width, hidden), width)
        self.output = _uniform(rngs, (pairs, hidden, width), hidden)


class Mixture(nnx.Module):
    """Scale of the norm (P, M); router (P, M, E); experts' input (P, E, M, H) and output (P, E, H, M)."""

    def __init__(self, settings: ModelSettings, rngs: nnx.Rngs) -> None:
        pairs, width, hidden = settings.layers // 2, settings.model_dim, settings.hidden_dim
        experts = settings.experts
        self.norm = nnx.Param(jnp.ones((pairs, width)))
        self.router = _uniform(rngs, (pairs, width, experts), width)
        self.input = _uniform(rngs, (pairs, experts, width, hidden), width)
        self.output = _uniform(rngs, (pairs, experts, hidden, width), hidden)


class Layer(nnx.Module):
    """Attention and a feed-forward of any kind."""

    def __init__(self, attention: Attention, feed_forward: Mixture | PlainFeedForward | GatedFeedForward) -> None:
        self.attention = attention
        self.feed_forward = feed_forward


class Decoder(nnx.Module):
    """Embedding (V, M), tied with the output; layers 0, 2, … and 1, 3, …, each kind stacked; scale of the final norm
    (M,)."""

    def __init__(self, settings: ModelSettings, vocabulary_size: int, rngs: nnx.Rngs) -> None:
        self.embedding = _normal(rngs, (vocabulary_size, settings.model_dim), 1.0)
        self.even_layers = Layer(Attention(settings, rngs), _even_feed_forward(settings, rngs))
        self.odd_layers = Layer(Attention(settings, rngs), _odd_feed_forward(settings, rngs))
        self.norm = nnx.Param(jnp.ones((settings.model_dim,)))


def _even_feed_forward(settings: ModelSettings, rngs: nnx.Rngs) -> Mixture | PlainFeedForward | GatedFeedForward:
    if settings.experts:
        return Mixture(settings, rngs)
    if settings.twin == "flops":
        return PlainFeedForward(settings, rngs, settings.choices * settings.hidden_dim)
    return _odd_feed_forward(settings, rngs)


def _odd_feed_forward(settings: ModelSettings, rngs: nnx.Rngs) -> PlainFeedForward | GatedFeedForward:
    if settings.feed_forward == "plain":
        return PlainFeedForward(settings, rngs, settings.hidden_dim)
    return GatedFeedForward(settings, rngs)


def initialize(settings: ModelSettings, vocabulary_size: int, key: jax.Array) -> Decoder:
    """Return a decoder with initial parameters, a function of `key` alone."""
    return Decoder(settings, vocabulary_size, nnx.Rngs(params=key))


def is_stacked(name: str) -> bool:
    """Tell whether the parameter `name` has a first axis over layers."""
    return name.split("/", 1)[0] in ("even_layers", "odd_layers")


def named_arrays(decoder: Decoder) -> dict[str, jax.Array]:
    """Return the arrays of a decoder (or of anything shaped like it) by name, e.g. `even_layers/attention/query`."""
    leaves = jax.tree_util.tree_leaves_with_path(decoder)
    return {"/".join(str(step.name) for step in path[:-1]): leaf for path, leaf in leaves}


def with_arrays(decoder: Decoder, arrays: dict[str, jax.Array]) -> Decoder:
    """Return a decoder like `decoder` that holds `arrays`, whose names must be those of `named_arrays`."""
    names = list(named_arrays(decoder))
    if set(names) != set(arrays):
        raise ValueError(f"these arrays are not the decoder's: {', '.join(sorted(set(names) ^ set(arrays)))}")
    return jax.tree.unflatten(jax.tree.structure(decoder), [arrays[name] for name in names])
