from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainer.data import TrainingData
from trainer.step import compiled_start, compiled_step


def test_a_gradient_that_is_not_finite_leaves_everything_as_it_was(version, config):
    start = compiled_start(config.model, config.optimizer, version.vocabulary_size)
    step = compiled_step(config.model, config.optimizer, config.training.steps, 0)
    state = start(jnp.int32(0))
    broken = state._replace(decoder=jax.tree.map(jnp.copy, state.decoder))
    broken.decoder.norm[...] = jnp.full_like(broken.decoder.norm[...], jnp.nan)
    before = [np.asarray(leaf).copy() for leaf in jax.tree.leaves(broken)]
    after, metrics = step(broken, jnp.int32(1), jnp.int32(0), TrainingData(version, 4, 0).batch(0))
    assert bool(metrics.skipped)
    for old, new in zip(before, jax.tree.leaves(after), strict=True):
        np.testing.assert_array_equal(old, new)


def test_runs_of_equal_settings_share_their_programs(version, config):
    same = config.model_copy(deep=True)
    assert compiled_step(config.model, config.optimizer, 12, 0) is compiled_step(same.model, same.optimizer, 12, 0)
    start = compiled_start(config.model, config.optimizer, version.vocabulary_size)
    step = compiled_step(config.model, config.optimizer, 12, 0)
    before = step._cache_size()
    for seed in (1, 2, 3):
        step(start(jnp.int32(seed)), jnp.int32(1), jnp.int32(seed), TrainingData(version, 4, seed).batch(0))
    assert step._cache_size() - before <= 1


@pytest.mark.parametrize("model", [{}, {"experts": 0}, {"second_expert": "random", "capacity_factor": 1.0}])
def test_micro_batches_give_the_losses_gradients_and_counts_of_the_whole_batch(version, config, model):
    settings = config.changed({"model": model}, "test").model
    state = compiled_start(settings, config.optimizer, version.vocabulary_size)(jnp.int32(0))
    batch = TrainingData(version, 4, 0).batch(0)
    padded = batch._replace(segments=batch.segments.copy(), counted=batch.counted.copy())
    padded.segments[3, 10:], padded.counted[3, 10:] = 0, False
    results = []
    for parts in (1, 2, 4):
        step = compiled_step(settings, config.optimizer, 12, 0, parts)
        _, metrics = step(jax.tree.map(jnp.copy, state), jnp.int32(1), jnp.int32(0), padded)
        results.append(jax.device_get(metrics))
    whole = results[0]
    for parts in results[1:]:
        for expected, got in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
            np.testing.assert_allclose(got, expected, rtol=2e-4, atol=1e-6)
        if whole.routers is not None:
            assert np.array_equal(parts.routers.counts.load, whole.routers.counts.load)
            assert np.array_equal(parts.routers.counts.dropped, whole.routers.counts.dropped)


def test_second_experts_by_chance_are_others_in_every_update_and_for_every_seed(version, config):
    settings = config.changed({"model": {"second_expert": "random", "capacity_factor": 1.0}}, "test").model
    state = compiled_start(settings, config.optimizer, version.vocabulary_size)(jnp.int32(0))
    step, batch = compiled_step(settings, config.optimizer, 12, 0), TrainingData(version, 4, 0).batch(0)

    def load(number: int, seed: int) -> list:
        _, metrics = step(jax.tree.map(jnp.copy, state), jnp.int32(number), jnp.int32(seed), batch)
        return metrics.routers.counts.load.tolist()

    first = load(1, 0)
    assert load(1, 0) == first
    assert load(2, 0) != first
    assert load(1, 1) != first
