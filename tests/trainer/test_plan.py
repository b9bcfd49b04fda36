"""What is said of a training before it begins, against simulations, XLA and the closed forms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainer.accounting import cost
from trainer.batch import Batch
from trainer.config import TrainingConfig
from trainer.even_router import expected_drops
from trainer.memory import memory
from trainer.model.routing import expert_capacity, route
from trainer.plan import plan
from trainer.step import compiled_start, compiled_step


@pytest.mark.parametrize(("experts", "second"), [(8, 0.043), (16, 0.064), (64, 0.142)])
def test_expected_drops_of_an_even_router_at_factor_2_and_groups_of_1024(experts, second):
    drops = expected_drops(1024, experts, expert_capacity(1024, experts, 2.0), 2)
    assert drops[0] < 1e-4
    assert drops[1] == pytest.approx(second, rel=0.04)  # simulated by another program, few groups


@pytest.mark.parametrize(
    ("tokens", "experts", "factor", "choices"), [(64, 4, 1.0, 2), (32, 8, 2.0, 2), (64, 2, 1.0, 1)]
)
def test_expected_drops_are_what_the_router_drops_when_it_is_even(tokens, experts, factor, choices):
    x = jax.random.normal(jax.random.key(0), (4000, tokens, experts))
    real = jnp.ones(x.shape[:2], bool)
    _, _, counts = jax.jit(lambda x: route(x, jnp.eye(experts), real, factor, choices))(x)
    capacity = expert_capacity(tokens, experts, factor)
    measured = np.asarray(counts.dropped) / real.size
    np.testing.assert_allclose(measured, expected_drops(tokens, experts, capacity, choices), rtol=0.03, atol=2e-4)


def test_nothing_is_dropped_where_there_is_a_slot_for_every_token():
    assert expected_drops(24, 4, 24, 2) == [0.0, 0.0]


def configuration(model=None, **training) -> TrainingConfig:
    sizes = {"layers": 4, "model_dim": 64, "hidden_dim": 128, "heads": 4, "head_dim": 16, "group_size": 128}
    values = {"version": "x", "model": sizes | (model or {}), "training": {"batch_rows": 8, **training}}
    return TrainingConfig.model_validate(values).resolved(128, "cpu")


@pytest.mark.parametrize(
    ("model", "training"),
    [
        ({}, {}),
        ({"experts": 0, "twin": "family"}, {}),
        ({"dispatcher": "einsum", "remat": "dots"}, {}),
        ({"remat": "pair", "layer_loop": "scan"}, {"micro_batches": 2, "loss_chunk": 128}),
    ],
)
def test_memory_is_within_a_factor_of_two_of_what_xla_reserves(model, training):
    config = configuration(model, **training)
    parts = memory(config, 500, 128)
    state = jax.eval_shape(compiled_start(config.model, config.optimizer, 500), jnp.int32(0))
    ids = jax.ShapeDtypeStruct((8, 128), jnp.int32)
    batch = Batch(ids, ids, ids, jax.ShapeDtypeStruct((8, 128), jnp.bool_))
    number = jax.ShapeDtypeStruct((), jnp.int32)
    settings = config.training
    step = compiled_step(config.model, config.optimizer, settings.steps, settings.loss_chunk, settings.micro_batches)
    reserved = step.lower(state, number, number, batch).compile().memory_analysis()
    batch_bytes = 4 * 8 * 128 * 4
    assert parts.weights + parts.optimizer == pytest.approx(reserved.argument_size_in_bytes, abs=batch_bytes)
    assert 0.5 < (parts.gradients + parts.activations + parts.logits) / reserved.temp_size_in_bytes < 2


def test_recomputation_saves_activations_and_micro_batches_save_them_in_proportion():
    deep = {remat: configuration({"layers": 16, "remat": remat}) for remat in ("none", "dots", "pair")}
    kept = {remat: memory(config, 500, 128).activations for remat, config in deep.items()}
    assert kept["pair"] < kept["dots"] < kept["none"]
    whole, parts = memory(configuration(), 500, 128), memory(configuration(micro_batches=4), 500, 128)
    assert parts.activations == whole.activations // 4
    assert parts.gradients == 2 * whole.gradients


def test_the_plan_of_a_mixture_names_both_twins_routing_and_epochs(version, config):
    model = {"hidden_dim": 64, "group_size": 32, "experts": 4, "capacity_factor": 2.0, "dispatcher": "einsum"}
    decided = config.changed({"model": model}, "test").resolved(version.sequence_length, "cpu")
    said = plan(version, decided)
    assert said["model"]["parameters"] == cost(decided.model, version.vocabulary_size, 32).parameters
    for kind, figures in said["twins"].items():
        dense = decided.changed({"model": {"experts": 0, "twin": kind}}, "test").model
        assert figures == cost(dense, version.vocabulary_size, 32)._asdict()
    router = 2 * 32 * 4  # the flops twin lacks the router's product in its one mixture layer, nothing else
    assert said["model"]["forward_flops"] - said["twins"]["flops"]["forward_flops"] == router
    assert (said["routing"]["slots"], said["routing"]["slots_a_choice"]) == (16, 1.0)
    assert said["routing"]["einsum_overhead"]["of_experts"] == 32 / 64  # tokens of a group over hidden width
    assert said["training"]["tokens"] == 12 * 4 * 32
    assert sum(use["weight"] for use in said["components"].values()) == 1
    books = said["components"]["books"]
    assert books["epochs"] == pytest.approx(0.2 * 12 * 4 * 32 / version.components["books"].tokens)
    assert said["memory"]["total"] == sum(said["memory"].values()) - said["memory"]["total"]
    assert plan(version, decided.changed({"model": {"experts": 0}}, "test"))["twins"] is None
