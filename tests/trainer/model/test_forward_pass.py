"""Logits, losses, gradients and what the routers did are those of the float64 forward pass written from the table of
docs/deviations.md."""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.trainer.model import reference
from tests.trainer.model.compiling import QUICKLY
from trainer.batch import Batch
from trainer.config import ModelSettings
from trainer.model.decoder import forward
from trainer.model.loss import Losses, logits, losses, objective
from trainer.model.parameters import initialize, named_arrays, with_arrays
from trainer.model.routing import Draw

VOCABULARY, ROWS, LENGTH = 40, 2, 24
SIZES = {"model_dim": 16, "hidden_dim": 24, "heads": 2, "head_dim": 8, "experts": 4, "group_size": 16}
LOSS_WEIGHTS = {"auxiliary_loss_weight": 0.3, "router_z_loss_weight": 0.2, "output_z_loss_weight": 0.1}
BASE = SIZES | LOSS_WEIGHTS | {"layers": 2, "capacity_factor": 1.0}
CASES = {
    "two pairs of layers, second experts by chance": {"layers": 4, "second_expert": "random"},
    "every choice sent": {},
    "padding counted": {"padding": "counted"},
    "one choice": {"choices": 1},
    "experts with GELU, few buckets, across documents": {
        "expert_activation": "gelu",
        "relative_buckets": 8,
        "relative_max_distance": 16,
        "attend_across_documents": True,
        "attention_extra_logit": False,
    },
    "dense twin of equal FLOPs": {"experts": 0},
    "dense twin of the family": {"experts": 0, "twin": "family"},
    "plain feed-forwards": {"experts": 0, "twin": "family", "feed_forward": "plain"},
}


def batch() -> Batch:
    """Two documents in the first row; a third and padding in the second."""
    ids = np.random.default_rng(1).integers(3, VOCABULARY, (ROWS, LENGTH + 1))
    segments = np.ones((ROWS, LENGTH), np.int32)
    segments[0, 14:], segments[1, 19:] = 2, 0
    counted = segments > 0
    counted[1, 18] = False
    return Batch(ids[:, :-1], ids[:, 1:], segments, counted)


@cache
def decoder_and_arrays(settings: ModelSettings):
    """A decoder all of whose parameters matter, norms and biases too, and the same in float64."""
    decoder = initialize(settings, VOCABULARY, jax.random.key(0))
    arrays, draws = named_arrays(decoder), np.random.default_rng(2)
    for name, array in arrays.items():
        if name.endswith("norm"):
            arrays[name] = jnp.asarray(draws.uniform(0.5, 1.5, array.shape), jnp.float32)
        if name.endswith("relative_bias"):
            arrays[name] = array * 5
    return with_arrays(decoder, arrays), {name: np.asarray(array, np.float64) for name, array in arrays.items()}


DRAW = Draw(jax.random.key(5), 0)


def uniform(settings: ModelSettings) -> list[np.ndarray] | None:
    """The draws of each layer, by the random policy."""
    if settings.second_expert == "all":
        return None
    groups = ROWS * LENGTH // settings.group_size
    return [np.asarray(DRAW.of_layer(n).uniform(groups, settings.group_size)) for n in range(settings.layers // 2)]


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def case(request):
    """Settings, parameters in float64, and what the trainer makes of them: losses, logits, routers."""
    settings = ModelSettings.model_validate(BASE | request.param)
    decoder, arrays = decoder_and_arrays(settings)
    data, draw = batch(), DRAW if settings.second_expert == "random" else None

    def run(decoder):
        hidden, _ = forward(decoder, data.inputs, data.segments, settings, settings.capacity_factor, draw)
        return logits(decoder, hidden), *losses(decoder, data, settings, 0, draw)

    return settings, arrays, *jax.jit(run, compiler_options=QUICKLY)(decoder)


def test_logits_are_those_of_the_reference(case):
    settings, arrays, found, *_ = case
    expected, _ = reference.decoder(arrays, batch(), settings, uniform(settings))
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


def test_each_loss_is_that_of_the_reference(case):
    settings, arrays, _, parts, _ = case
    for name, expected in reference.losses(arrays, batch(), settings, uniform(settings))._asdict().items():
        assert float(getattr(parts, name)) == pytest.approx(expected, rel=1e-5), name


def test_the_routers_did_what_those_of_the_reference_did_layer_by_layer(case):
    settings, arrays, _, _, routers = case
    _, expected = reference.decoder(arrays, batch(), settings, uniform(settings))
    if not settings.experts:
        assert (routers, expected) == (None, [])
        return
    assert len(expected) == settings.layers // 2
    assert sum(routed.dropped.sum() for routed in expected) > 0
    for layer, routed in enumerate(expected):
        assert np.array_equal(routers.counts.load[layer], routed.load)
        assert np.array_equal(routers.counts.dropped[layer], routed.dropped)
        assert float(routers.counts.entropy[layer]) == pytest.approx(routed.entropy, rel=1e-5)
        assert float(routers.losses.auxiliary[layer]) == pytest.approx(routed.auxiliary, rel=1e-5)
        assert float(routers.losses.router_z[layer]) == pytest.approx(routed.router_z, rel=1e-5)


def test_the_gradient_is_the_slope_of_the_reference():
    """In a random direction of each parameter alone, and of all at once."""
    settings = ModelSettings.model_validate(BASE | {"layers": 4})
    decoder, arrays = decoder_and_arrays(settings)
    lowered = jax.grad(lambda decoder: objective(losses(decoder, batch(), settings, 0)[0], settings))
    gradients = named_arrays(jax.jit(lowered, compiler_options=QUICKLY)(decoder))
    draws, step = np.random.default_rng(3), 1e-6
    directions = {name: draws.normal(size=array.shape) for name, array in arrays.items()}
    for names in ([*arrays], *([name] for name in arrays)):

        def moved(by: float, names: list[str] = names) -> float:
            shifted = {name: a + by * directions[name] if name in names else a for name, a in arrays.items()}
            return reference.objective(shifted, batch(), settings)

        slope = (moved(step) - moved(-step)) / (2 * step)
        found = sum(float(np.sum(np.asarray(gradients[name], np.float64) * directions[name])) for name in names)
        assert found == pytest.approx(slope, rel=1e-3, abs=1e-5), names


def test_the_objective_is_cross_entropy_and_each_other_loss_by_its_weight():
    settings = ModelSettings.model_validate(LOSS_WEIGHTS)
    parts = Losses(cross_entropy=2.0, output_z=30.0, auxiliary=5.0, router_z=7.0)
    assert objective(parts, settings) == pytest.approx(2.0 + 0.3 * 5.0 + 0.2 * 7.0 + 0.1 * 30.0)
    assert objective(parts, ModelSettings()) == pytest.approx(2.0 + 0.01 * 5.0 + 1e-4 * 30.0)
