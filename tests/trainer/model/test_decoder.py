"""However the layers are looped over and whatever is computed again, the decoder is the same function."""

from __future__ import annotations

import re
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.trainer.model.compiling import QUICKLY
from trainer.batch import Batch
from trainer.config import ModelSettings
from trainer.model.decoder import forward
from trainer.model.loss import losses, objective
from trainer.model.parameters import initialize, named_arrays
from trainer.model.routing import Draw

VOCABULARY, ROWS, LENGTH = 50, 2, 16
BASE = {"layers": 4, "model_dim": 16, "hidden_dim": 32, "heads": 2, "head_dim": 8, "group_size": 16}


def batch() -> Batch:
    ids = np.asarray(jax.random.randint(jax.random.key(1), (ROWS, LENGTH + 1), 3, VOCABULARY))
    segments = np.ones((ROWS, LENGTH), np.int32)
    segments[0, 9:], segments[1, 13:] = 2, 0
    return Batch(ids[:, :-1], ids[:, 1:], segments, segments > 0)


@cache
def objective_and_gradients(**changes):
    settings = ModelSettings.model_validate(BASE | changes)
    decoder = initialize(settings, VOCABULARY, jax.random.key(0))
    draw = Draw(jax.random.key(3), 0) if settings.second_expert == "random" else None
    data = batch()

    def run(decoder):
        parts, routers = losses(decoder, data, settings, 0, draw)
        return objective(parts, settings), routers

    (value, routers), gradients = jax.jit(jax.value_and_grad(run, has_aux=True), compiler_options=QUICKLY)(decoder)
    return value, routers, named_arrays(gradients)


@pytest.mark.parametrize(
    "model",
    [{}, {"experts": 0}, {"second_expert": "random"}, {"experts": 0, "feed_forward": "plain", "twin": "family"}],
)
@pytest.mark.parametrize("way", [{"layer_loop": "scan"}, {"remat": "pair"}, {"layer_loop": "scan", "remat": "dots"}])
def test_scan_and_recomputation_change_nothing(model, way):
    value, routers, gradients = objective_and_gradients(**model, layer_loop="unroll")
    other_value, other_routers, other_gradients = objective_and_gradients(**model, **way)
    assert float(other_value) == pytest.approx(float(value), rel=1e-6)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(other_gradients[name], gradient, rtol=1e-3, atol=1e-5, err_msg=name)
    if routers is not None:
        assert np.array_equal(other_routers.counts.load, routers.counts.load)


def test_bfloat16_keeps_weights_router_softmax_and_loss_in_float32():
    settings = ModelSettings.model_validate(BASE | {"activation_dtype": "bfloat16"})
    decoder = initialize(settings, VOCABULARY, jax.random.key(0))
    data = batch()
    hidden, routers = forward(decoder, data.inputs, data.segments, settings, 2.0)
    assert hidden.dtype == jnp.bfloat16
    assert {array.dtype for array in named_arrays(decoder).values()} == {jnp.dtype("float32")}
    assert routers.losses.auxiliary.dtype == jnp.float32
    parts, _ = losses(decoder, data, settings, 0)
    assert parts.cross_entropy.dtype == jnp.float32
    exact, _ = losses(decoder, data, ModelSettings.model_validate(BASE), 0)
    assert float(parts.cross_entropy) == pytest.approx(float(exact.cross_entropy), rel=0.02)
    program = str(jax.make_jaxpr(lambda d: losses(d, data, settings, 0)[0].cross_entropy)(decoder))
    exponentials = [line for line in program.splitlines() if " exp " in line]
    assert exponentials
    assert all("bf16" not in line.split("=")[0] for line in exponentials)
    of_attention = re.findall(r":(\w+)\[2,2,16,16\] = dot_general", program)
    assert set(of_attention) == {"f32"}
