"""Both dispatchers give what a float64 loop over tokens gives: outputs, gradients, drops, losses, counts."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.trainer.model.compiling import QUICKLY
from tests.trainer.model.reference import Routed
from tests.trainer.model.reference import route as reference_route
from trainer.model.experts import einsum_mixture, gather_mixture
from trainer.model.routing import Draw, expert_capacity, route

GROUPS, TOKENS, WIDTH, HIDDEN, EXPERTS = 2, 24, 8, 12, 4
DISPATCHERS = {"einsum": einsum_mixture, "gather": gather_mixture}


class Reference(NamedTuple):
    output: np.ndarray
    gradients: dict[str, np.ndarray]
    routed: Routed


def reference_mixture(
    x, router, first_matrix, second_matrix, real, factor, output_gradient, choices=2, uniform=None
) -> Reference:
    """Return what the mixture gives for x (G, T, M) and the gradients of sum(output · output_gradient)."""
    x, router, first_matrix, second_matrix = (
        np.asarray(array, np.float64) for array in (x, router, first_matrix, second_matrix)
    )
    routed = reference_route(x, router, real, factor, choices, uniform)
    output = np.zeros_like(x)
    arrays = (x, router, first_matrix, second_matrix)
    gradients = {name: np.zeros_like(array) for name, array in zip("xrio", arrays, strict=True)}
    for g, t in np.argwhere(real):
        shares, best = routed.shares[g, t], routed.best[g, t]
        pair = shares[best]
        total = pair.sum() + 1e-9 if choices > 1 else 1.0
        upstream, gate_gradient = output_gradient[g, t], np.zeros(choices)
        for choice, expert in enumerate(best):
            if not routed.kept[g, t, choice]:
                continue
            gate = pair[choice] / total
            before = x[g, t] @ first_matrix[expert]
            hidden = np.maximum(before, 0)
            result = hidden @ second_matrix[expert]
            output[g, t] += gate * result
            gate_gradient[choice] = upstream @ result
            gradients["o"][expert] += np.outer(hidden, gate * upstream)
            back = (gate * upstream @ second_matrix[expert].T) * (before > 0)
            gradients["i"][expert] += np.outer(x[g, t], back)
            gradients["x"][g, t] += back @ first_matrix[expert].T
        share_gradient = np.zeros(len(shares))
        share_gradient[best] = gate_gradient / total
        if choices > 1:
            share_gradient[best] -= (gate_gradient @ pair) / total**2
        logit_gradient = shares * (share_gradient - shares @ share_gradient)
        gradients["r"] += np.outer(x[g, t], logit_gradient)
        gradients["x"][g, t] += router @ logit_gradient
    return Reference(output, gradients, routed)


@pytest.fixture(scope="module")
def case():
    keys = jax.random.split(jax.random.key(3), 5)
    x = jax.random.normal(keys[0], (GROUPS, TOKENS, WIDTH))
    router = jax.random.normal(keys[1], (WIDTH, EXPERTS)) + jnp.array(
        [1.0, 0, 0, 0]
    )  # a favorite, so that choices drop
    matrices = (
        jax.random.normal(keys[2], (EXPERTS, WIDTH, HIDDEN)),
        jax.random.normal(keys[3], (EXPERTS, HIDDEN, WIDTH)),
    )
    real = np.ones((GROUPS, TOKENS), bool)
    real[1, 15:] = False
    return x, router, *matrices, real, np.asarray(jax.random.normal(keys[4], x.shape))


@pytest.mark.parametrize("factor", [0.5, 2.0, None])
@pytest.mark.parametrize(("choices", "policy"), [(2, "all"), (2, "random"), (1, "all")])
@pytest.mark.parametrize("dispatcher", DISPATCHERS)
def test_a_dispatcher_equals_the_loop_over_tokens(case, dispatcher, choices, policy, factor):
    x, router, first, second, real, upstream = case
    draw = Draw(jax.random.key(11), 0) if policy == "random" else None
    uniform = None if draw is None else np.asarray(draw.uniform(GROUPS, TOKENS))
    expected = reference_mixture(x, router, first, second, real, factor, upstream, choices, uniform)

    def run(x, router, first, second):
        routing, losses, counts = route(x, router, jnp.asarray(real), factor, choices, draw)
        output = DISPATCHERS[dispatcher](x, routing, first, second, jax.nn.relu)
        return jnp.sum(output * upstream), (output, losses, counts)

    program = jax.jit(jax.value_and_grad(run, argnums=(0, 1, 2, 3), has_aux=True), compiler_options=QUICKLY)
    (_, (output, losses, counts)), gradients = program(x, router, first, second)
    np.testing.assert_allclose(output, expected.output, rtol=1e-4, atol=2e-4)
    for name, gradient in zip("xrio", gradients, strict=True):
        np.testing.assert_allclose(gradient, expected.gradients[name], rtol=1e-3, atol=1e-3, err_msg=name)
    routed = expected.routed
    assert np.array_equal(counts.dropped, routed.dropped)
    assert np.array_equal(counts.load, routed.load)
    assert losses.auxiliary == pytest.approx(routed.auxiliary, rel=1e-5)
    assert losses.router_z == pytest.approx(routed.router_z, rel=1e-5)
    assert counts.entropy == pytest.approx(routed.entropy, rel=1e-5)
    if factor in (0.5, None):
        assert (routed.dropped.sum() > 0) == (factor == 0.5)


def test_random_second_experts_are_sent_in_proportion_to_twice_their_gate(case):
    x, router, *_ = case
    many = jnp.tile(x, (60, 1, 1))
    everything = jnp.ones(many.shape[:2], bool)
    always, *_ = route(many, router, everything, None)
    sometimes, *_ = route(many, router, everything, None, 2, Draw(jax.random.key(5), 0))
    expected = float(jnp.sum(jnp.minimum(2 * always.gate[..., 1], 1.0)))
    assert float(jnp.sum(sometimes.gate[..., 1] > 0)) == pytest.approx(expected, rel=0.03)
    assert np.array_equal(sometimes.gate[..., 0], always.gate[..., 0])


def test_a_draw_depends_on_key_and_place_alone():
    draw = Draw(jax.random.key(5), 0)
    whole = draw.uniform(4, 6)
    assert np.array_equal(whole[2:], draw._replace(first_group=2).uniform(2, 6))
    assert not np.array_equal(whole, draw.of_layer(1).uniform(4, 6))


def test_padding_takes_no_capacity_and_adds_nothing(case):
    x, router, first, second, real, _ = case
    disturbed = jnp.where(jnp.asarray(real)[..., None], x, 100.0)
    results = []
    for tokens in (x, disturbed):
        routing, losses, counts = route(tokens, router, jnp.asarray(real), 1.0)
        results.append((gather_mixture(tokens, routing, first, second, jax.nn.relu), losses, counts))
    (output, losses, counts), (other, other_losses, other_counts) = results
    assert not np.any(np.asarray(output)[~real])
    assert np.array_equal(np.asarray(output)[real], np.asarray(other)[real])
    assert losses.auxiliary == other_losses.auxiliary
    assert np.array_equal(counts.dropped, other_counts.dropped)


def test_padding_before_real_tokens_leaves_them_their_slots(case):
    x, router, *_ = case
    half = TOKENS // 2
    padded = jnp.concatenate([jnp.full((1, half, WIDTH), 100.0), x[:1, :half]], axis=1)
    real = jnp.arange(TOKENS)[None] >= half
    behind, *_, counts = route(padded, router, real, 1.0)
    alone, *_ = route(x[:1, :half], router, jnp.ones((1, half), bool), 2.0)  # as many slots for half of the tokens
    assert behind.capacity == alone.capacity
    assert np.array_equal(behind.slot[:, half:], alone.slot)
    np.testing.assert_allclose(behind.gate[:, half:], alone.gate, rtol=1e-5, atol=1e-6)
    assert counts.load.sum() == 2 * half


def test_the_auxiliary_loss_is_the_mean_over_micro_batches(case):
    x, router, *_ = case
    everything = np.ones((GROUPS, TOKENS), bool)
    whole = route(x, router, jnp.asarray(everything), 2.0)[1].auxiliary
    parts = [route(x[g : g + 1], router, jnp.asarray(everything[:1]), 2.0)[1].auxiliary for g in range(GROUPS)]
    assert float(whole) == pytest.approx(float(np.mean(parts)), rel=1e-6)


def test_the_auxiliary_loss_of_an_even_router_is_one():
    x = jnp.eye(4)[None]
    loss = route(x, jnp.eye(4) * 1e-6, jnp.ones((1, 4), bool), None)[1].auxiliary
    assert float(loss) == pytest.approx(1.0, abs=1e-5)


def test_entropy_and_router_z_of_a_router_whose_gates_are_known():
    """Two tokens with logits 0 and ln 3 (gates 1/4 and 3/4, partition 4), one even (1/2, partition 2), and padding."""
    logits = jnp.log(jnp.array([[[1.0, 3.0], [3.0, 1.0], [1.0, 1.0], [1000.0, 1.0]]]))
    real = jnp.array([[True, True, True, False]])
    _, losses, counts = route(logits, jnp.eye(2), real, None)
    known = math.log(4) - 3 / 4 * math.log(3)  # of gates 1/4 and 3/4
    assert float(counts.entropy) == pytest.approx((2 * known + math.log(2)) / 3, rel=1e-5)
    assert float(losses.router_z) == pytest.approx((2 * math.log(4) ** 2 + math.log(2) ** 2) / 3, rel=1e-5)
    assert counts.load.tolist() == [[2, 1], [1, 2]]
    assert float(losses.auxiliary) == pytest.approx(2 * (2 / 3 * 1 / 2 + 1 / 3 * 1 / 2), rel=1e-5)


@pytest.mark.parametrize(
    ("tokens", "experts", "factor", "slots"),
    [(1024, 64, 2.0, 32), (1024, 8, 2.0, 256), (100, 8, 2.0, 28), (16, 64, 2.0, 4), (8, 2, 8.0, 8), (24, 4, None, 24)],
)
def test_capacity_is_tokens_times_factor_over_experts_rounded_up_to_four(tokens, experts, factor, slots):
    assert expert_capacity(tokens, experts, factor) == slots
