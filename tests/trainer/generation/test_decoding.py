"""Token by token, from a cache, the decoder gives the logits of the whole forward pass."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
import pytest

from trainer.config import ModelSettings
from trainer.generation.decoding import Decoding
from trainer.model.decoder import forward
from trainer.model.loss import logits
from trainer.model.parameters import initialize

VOCABULARY, LENGTH = 40, 24
BASE = {"layers": 2, "model_dim": 16, "hidden_dim": 32, "heads": 2, "head_dim": 8, "group_size": 8}
FAR = {"relative_buckets": 4, "relative_max_distance": 6}
"""Buckets that fill up within the sequence."""
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


@partial(jax.jit, static_argnums=0)
def whole_pass(settings, decoder, ids):
    hidden, _ = forward(decoder, ids, jax.numpy.ones_like(ids), settings, None)
    return logits(decoder, hidden)


@pytest.mark.parametrize(
    "model",
    [
        FAR,
        {"dispatcher": "einsum", "choices": 1, "attention_extra_logit": False},
        {"experts": 0},
        {"experts": 0, "feed_forward": "plain", "twin": "family", "layer_loop": "scan"},
    ],
)
def test_logits_equal_the_whole_forward_pass_at_every_position(model):
    settings = ModelSettings.model_validate(BASE | model)
    decoder = initialize(settings, VOCABULARY, jax.random.key(0))
    ids = np.asarray(jax.random.randint(jax.random.key(1), (3, LENGTH), 0, VOCABULARY), np.int32)
    expected = whole_pass(settings, decoder, ids)
    lengths = [8, 5, 1]  # prompts of different lengths, padded at the left
    prompts, real = np.zeros((3, 8), np.int32), np.zeros((3, 8), bool)
    for row, length in enumerate(lengths):
        prompts[row, 8 - length :], real[row, 8 - length :] = ids[row, :length], True
    decoding = Decoding(decoder, settings, prompts, real, LENGTH - 8)
    for step in range(LENGTH - 8):
        places = [length + step for length in lengths]
        for row, place in enumerate(places):
            np.testing.assert_allclose(decoding.logits[row], expected[row, place - 1], **TOLERANCE)
        decoding.advance(ids[np.arange(3), places])


def test_a_row_may_go_on_from_another():
    settings = ModelSettings.model_validate(BASE)
    decoder = initialize(settings, VOCABULARY, jax.random.key(0))
    ids = np.asarray(jax.random.randint(jax.random.key(2), (2, 8), 0, VOCABULARY), np.int32)
    decoding = Decoding(decoder, settings, ids, np.ones_like(ids, bool), 8)
    decoding.repeat(2)
    decoding.advance(np.array([3, 4, 5, 6], np.int32), np.array([1, 0, 2, 2], np.int32))
    decoding.advance(np.array([7, 8, 9, 10], np.int32), np.array([1, 1, 0, 3], np.int32))
    read = [(0, 4, 7), (0, 4, 8), (0, 3, 9), (1, 6, 10)]
    for row, (prompt, *tokens) in enumerate(read):
        expected = whole_pass(settings, decoder, np.array([[*ids[prompt], *tokens, 0, 0, 0, 0, 0, 0]]))
        np.testing.assert_allclose(decoding.logits[row], expected[0, 9], **TOLERANCE)


def test_bfloat16_keeps_the_logits_in_float32_and_stays_near():
    settings = ModelSettings.model_validate(BASE | {"activation_dtype": "bfloat16"})
    decoder = initialize(settings, VOCABULARY, jax.random.key(0))
    ids = np.asarray(jax.random.randint(jax.random.key(1), (1, 16), 0, VOCABULARY), np.int32)
    decoding = Decoding(decoder, settings, ids[:, :8], np.ones((1, 8), bool), 8)
    for place in range(8, 16):
        decoding.advance(ids[:, place])
    assert decoding.logits.dtype == np.float32
    expected = whole_pass(ModelSettings.model_validate(BASE), decoder, ids)[0, -1]
    assert np.abs(np.asarray(decoding.logits[0]) - expected).max() < 0.1 * expected.std() + 0.05
