from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainer.batch import Batch
from trainer.config import ModelSettings
from trainer.model.loss import losses, token_losses
from trainer.model.parameters import initialize


@pytest.fixture(scope="module")
def decoder():
    settings = ModelSettings(layers=2, model_dim=16, hidden_dim=16, heads=2, head_dim=8, group_size=8)
    return initialize(settings, 50, jax.random.key(4))


def test_cross_entropy_in_chunks_equals_the_definition(decoder):
    rows = jax.random.normal(jax.random.key(5), (24, 16))
    targets = jax.random.randint(jax.random.key(6), (24,), 0, 50)
    scores = np.asarray(rows, np.float64) @ np.asarray(decoder.embedding[...], np.float64).T / 4
    log_partition = np.log(np.exp(scores).sum(-1))
    expected = log_partition - scores[np.arange(24), targets]
    for chunk in (0, 8):
        entropy, z = token_losses(decoder, rows, targets, chunk)
        np.testing.assert_allclose(entropy, expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(z, log_partition, rtol=1e-5)


def test_chunks_do_not_change_the_gradient(decoder):
    rows = jax.random.normal(jax.random.key(5), (24, 16))
    targets = jax.random.randint(jax.random.key(6), (24,), 0, 50)
    whole, parts = (
        jax.grad(lambda rows, chunk=chunk: jnp.mean(token_losses(decoder, rows, targets, chunk)[0]))(rows)
        for chunk in (0, 8)
    )
    np.testing.assert_allclose(whole, parts, rtol=1e-4, atol=1e-6)


def test_padding_counts_nowhere(decoder):
    settings = ModelSettings(layers=2, model_dim=16, hidden_dim=16, heads=2, head_dim=8, group_size=8)
    ids = np.arange(16).reshape(2, 8)
    segments = np.array([[1] * 8, [1] * 5 + [0] * 3])
    counted = np.array([[True] * 8, [True] * 4 + [False] * 4])
    disturbed = np.where(segments > 0, ids, 33)
    results = [
        losses(decoder, Batch(jnp.asarray(tokens), jnp.asarray(ids + 1), jnp.asarray(segments), counted), settings, 0)[
            0
        ]
        for tokens in (ids, disturbed)
    ]
    np.testing.assert_allclose(results[0], results[1], rtol=1e-6)


@pytest.mark.parametrize("choices", [1, 2])
def test_rows_of_padding_change_no_loss(decoder, choices):
    settings = ModelSettings(
        layers=2, model_dim=16, hidden_dim=16, heads=2, head_dim=8, group_size=8, choices=choices, capacity_factor=1.0
    )
    ids = np.arange(16).reshape(2, 8)
    real = np.ones((2, 8), np.int32)
    padding = np.zeros((2, 8), np.int32)
    alone = losses(decoder, Batch(ids, ids + 1, real, real > 0), settings, 0)
    rows = Batch(
        *(np.concatenate(pair) for pair in ((padding, ids), (padding, ids + 1), (padding, real), (padding, real)))
    )
    padded = losses(decoder, rows._replace(counted=rows.counted > 0), settings, 0)
    np.testing.assert_allclose(padded[0], alone[0], rtol=1e-6)
    assert np.array_equal(padded[1].counts.load, alone[1].counts.load)
    assert np.array_equal(padded[1].counts.dropped, alone[1].counts.dropped)
