from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.trainer.model.reference import t5_bucket
from trainer.config import ModelSettings
from trainer.model.attention import distance_buckets, relative_bias, softmax
from trainer.model.decoder import forward
from trainer.model.loss import logits
from trainer.model.parameters import initialize


def test_buckets_are_t5s():
    assert distance_buckets(300, 32, 128).tolist() == [t5_bucket(d, 32, 128) for d in range(300)]


def test_the_bias_depends_on_the_distance_into_the_past_alone():
    table = jax.random.normal(jax.random.key(0), (32, 3))
    bias = relative_bias(table, 40, 128)
    for query in range(40):
        for key in range(query + 1):
            assert np.array_equal(bias[:, query, key], table[t5_bucket(query - key, 32, 128)])


@pytest.mark.parametrize("extra_logit", [True, False])
def test_softmax_and_its_gradient(extra_logit):
    rows = jax.random.normal(jax.random.key(1), (5, 7)) * 3
    upstream = jax.random.normal(jax.random.key(2), (5, 7))

    def plain(rows):
        padded = jnp.concatenate([rows, jnp.zeros((5, 1))], axis=1) if extra_logit else rows
        return jax.nn.softmax(padded, axis=1)[:, :7]

    value, pull = jax.vjp(lambda rows: softmax(rows, extra_logit), rows)
    expected, expected_pull = jax.vjp(plain, rows)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(pull(upstream)[0], expected_pull(upstream)[0], rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def small():
    settings = ModelSettings(layers=2, model_dim=16, hidden_dim=16, heads=2, head_dim=8, group_size=12)
    return settings, initialize(settings, 50, jax.random.key(4))


def hidden(decoder, settings, ids, segments):
    return forward(decoder, jnp.asarray(ids), jnp.asarray(segments), settings, None)[0]


def test_packed_documents_have_the_logits_they_have_alone(small):
    settings, decoder = small
    ids = np.array([[5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0, 0]])
    packed = hidden(decoder, settings, ids, np.array([[1] * 4 + [2] * 6 + [0] * 2]))
    for start, end in ((0, 4), (4, 10)):
        own = np.zeros_like(ids)
        own[0, : end - start] = ids[0, start:end]
        alone = hidden(decoder, settings, own, (np.arange(12)[None] < end - start).astype(int))
        np.testing.assert_allclose(
            logits(decoder, packed[:, start:end]), logits(decoder, alone[:, : end - start]), rtol=1e-4, atol=1e-5
        )


def test_attention_across_documents_is_a_switch(small):
    settings, decoder = small
    across = settings.model_copy(update={"attend_across_documents": True})
    ids, segments = np.arange(3, 15)[None], np.array([[1] * 4 + [2] * 8])
    changed = ids.copy()
    changed[0, 0] = 40
    apart = [hidden(decoder, settings, tokens, segments)[0, 4:] for tokens in (ids, changed)]
    together = [hidden(decoder, across, tokens, segments)[0, 4:] for tokens in (ids, changed)]
    assert np.array_equal(*apart)
    assert not np.array_equal(*together)


def test_no_token_sees_a_later_one(small):
    settings, decoder = small
    ids, segments = np.arange(3, 15)[None], np.ones((1, 12), int)
    changed = ids.copy()
    changed[0, 7:] = 40
    before, after = (hidden(decoder, settings, tokens, segments) for tokens in (ids, changed))
    np.testing.assert_allclose(before[:, :7], after[:, :7], rtol=1e-5, atol=1e-6)
