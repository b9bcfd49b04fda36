"""Initial values are those of the authors' code."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainer.config import ModelSettings
from trainer.model.normalization import rms_norm
from trainer.model.parameters import initialize, named_arrays

M, H, N, D, BUCKETS = 96, 160, 6, 16, 32
SETTINGS = ModelSettings(layers=4, model_dim=M, hidden_dim=H, heads=N, head_dim=D, experts=4)
NORMAL = {
    "embedding": 1.0,
    "even_layers/attention/query": (M * D) ** -0.5,
    "even_layers/attention/key": M**-0.5,
    "odd_layers/attention/value": M**-0.5,
    "odd_layers/attention/output": (N * D) ** -0.5,
    "even_layers/attention/relative_bias": (N * BUCKETS) ** -0.5,
}
UNIFORM = {
    "even_layers/feed_forward/router": M,
    "even_layers/feed_forward/input": M,
    "even_layers/feed_forward/output": H,
    "odd_layers/feed_forward/gate": M,
    "odd_layers/feed_forward/linear": M,
    "odd_layers/feed_forward/output": H,
}


@pytest.fixture(scope="module")
def arrays():
    return named_arrays(initialize(SETTINGS, 600, jax.random.key(0)))


def test_initial_values_have_the_spread_of_the_authors_code(arrays):
    for name, deviation in NORMAL.items():
        values = np.asarray(arrays[name])
        assert values.std() == pytest.approx(deviation, rel=10 / math.sqrt(values.size)), name
        assert np.abs(values).max() > 2.5 * deviation, name
    for name, fan_in in UNIFORM.items():
        values = np.asarray(arrays[name])
        bound = math.sqrt(3 / fan_in)
        assert np.abs(values).max() <= bound, name
        assert np.abs(values).max() > 0.95 * bound, name
        assert values.std() == pytest.approx(bound / math.sqrt(3), rel=10 / math.sqrt(values.size)), name
    assert set(NORMAL) | set(UNIFORM) <= set(arrays)


def test_norms_start_at_one_and_give_a_root_mean_square_of_one(arrays):
    norms = [array for name, array in arrays.items() if name.endswith("norm")]
    assert len(norms) == 5
    assert all(np.all(np.asarray(norm) == 1) for norm in norms)
    x = jax.random.normal(jax.random.key(1), (3, 7, M))
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(rms_norm(x * 5, jnp.ones(M))), axis=-1)), 1.0, rtol=1e-4)
    for scale in (5.0, 1e-3):  # the small one is as large as epsilon's root
        rows = np.asarray(x) * scale
        expected = rows / np.sqrt(np.mean(np.square(rows), axis=-1, keepdims=True) + 1e-6)
        np.testing.assert_allclose(rms_norm(jnp.asarray(rows), jnp.ones(M)), expected, rtol=1e-5)
