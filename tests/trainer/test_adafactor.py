from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from trainer import adafactor
from trainer.config import OptimizerSettings
from trainer.schedule import learning_rate

SETTINGS = OptimizerSettings()
SHAPES = {
    **{"vector": (256,), "matrix": (160, 256), "tall": (256, 160), "cube": (3, 130, 200), "small": (8, 16)},
    **{"narrow": (127, 140), "zero": (9, 7), "faint": (9, 7)},
}


def random_arrays(seed: int) -> dict[str, jax.Array]:
    """Parameters; `zero` is nothing at first, so that its size counts as the least one."""
    keys = jax.random.split(jax.random.key(seed), len(SHAPES))
    arrays = {name: jax.random.normal(key, SHAPES[name]) for name, key in zip(SHAPES, keys, strict=True)}
    return arrays | {"zero": jnp.zeros(SHAPES["zero"])}


def gradients_of(parameters: dict[str, jax.Array], number: int) -> dict[str, jax.Array]:
    """Gradients of update `number`; that of `faint` is as small as epsilon's root."""
    gradients = {name: jax.random.normal(jax.random.key(number), p.shape) * 3 for name, p in parameters.items()}
    return gradients | {"faint": gradients["faint"] * 1e-15}


def run(parameters, updates, stacked):
    state = adafactor.initial_state(parameters, stacked, SETTINGS)
    program = jax.jit(lambda p, g, s: adafactor.update(p, g, s, jnp.float32(0.01), stacked, SETTINGS))
    for number in range(updates):
        gradients = gradients_of(parameters, number)
        parameters, state = program(parameters, gradients, state)
    return parameters


def test_it_equals_optax_on_parameters_that_are_not_stacked():
    parameters = start = random_arrays(0)
    optimizer = optax.adafactor(
        0.01, min_dim_size_to_factor=128, decay_rate=0.8, clipping_threshold=1.0, momentum=None, eps=1e-30
    )
    state = optimizer.init(parameters)
    update = jax.jit(optimizer.update)
    for number in range(8):
        gradients = gradients_of(parameters, number)
        changes, state = update(gradients, state, parameters)
        parameters = optax.apply_updates(parameters, changes)
    ours = run(start, 8, lambda name: False)  # noqa: ARG005
    for name in SHAPES:
        tolerance = {"rtol": 2e-5, "atol": 2e-6 if name != "zero" else 1e-9}
        np.testing.assert_allclose(ours[name], parameters[name], **tolerance, err_msg=name)
        assert np.abs(np.asarray(ours[name] - start[name])).max() > (1e-3 if name != "zero" else 1e-5)


@pytest.mark.parametrize("shape", [(160, 256), (8, 16), (40,)])
def test_stacked_layers_do_not_mix(shape):
    layers = [jax.random.normal(jax.random.key(9), shape) * scale for scale in (0.01, 1.0, 30.0)]
    gradients = [jax.random.normal(jax.random.key(10 + i), shape) * 100.0**i for i in range(3)]

    def after(parameter, gradient, stacked):
        state = adafactor.initial_state({"w": parameter}, stacked, SETTINGS)
        return adafactor.update({"w": parameter}, {"w": gradient}, state, jnp.float32(0.1), stacked, SETTINGS)[0]["w"]

    together = after(jnp.stack(layers), jnp.stack(gradients), lambda name: True)  # noqa: ARG005
    for number in range(3):
        alone = after(layers[number], gradients[number], lambda name: False)  # noqa: ARG005
        np.testing.assert_allclose(together[number], alone, rtol=1e-5, atol=1e-7)


def test_large_matrices_keep_row_and_column_moments_only():
    moments = adafactor.initial_state(random_arrays(0), lambda name: False, SETTINGS).moments  # noqa: ARG005
    assert (moments["small"].full.shape, moments["narrow"].full.shape) == ((8, 16), (127, 140))
    assert moments["vector"].full.shape == (256,)
    assert (moments["matrix"].over_rows.shape, moments["matrix"].over_columns.shape) == ((256,), (160,))
    assert (moments["cube"].over_rows.shape, moments["cube"].over_columns.shape) == ((3, 200), (3, 130))


def rates(settings: OptimizerSettings, updates: list[int], steps: int) -> list[float]:
    return [float(learning_rate(jnp.int32(update), steps, settings)) for update in updates]


def test_the_linear_schedule_warms_up_and_falls_to_its_share():
    settings = OptimizerSettings(learning_rate=0.2)
    assert rates(settings, [10, 20, 110, 200], 200) == pytest.approx([0.1 * 1.0, 0.2, 0.11, 0.02], rel=1e-5)


def test_the_papers_schedule_is_level_and_then_falls_as_the_root():
    settings = OptimizerSettings(learning_rate=0.01, schedule="inverse_square_root")
    assert rates(settings, [1, 10_000, 40_000], 1) == pytest.approx([0.01, 0.01, 0.005], rel=1e-5)
