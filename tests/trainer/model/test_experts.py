"""Both dispatchers give what a float64 loop over tokens gives: outputs, gradients, drops, losses, counts."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainer.model.experts import einsum_mixture, gather_mixture
from trainer.model.routing import expert_capacity, route

GROUPS, TOKENS, WIDTH, HIDDEN, EXPERTS = 2, 24, 8, 12, 4
DISPATCHERS = {"einsum": einsum_mixture, "gather": gather_mixture}


class Reference(NamedTuple):
    output: np.ndarray
    gradients: dict[str, np.ndarray]
    dropped: list[int]
    load: np.ndarray
    auxiliary: float


def queue(first: np.ndarray, second: np.ndarray, real: np.ndarray, experts: int, capacity: int) -> np.ndarray:
    """Return which choices of a group are kept, (T, 2): all first choices in order, then all second ones."""
    free = [capacity] * experts
    kept = np.zeros((len(first), 2), bool)
    for choice, chosen in enumerate((first, second)):
        for token, expert in enumerate(chosen):
            if real[token] and free[expert]:
                free[expert] -= 1
                kept[token, choice] = True
    return kept


def reference_mixture(x, router, first_matrix, second_matrix, real, factor, output_gradient) -> Reference:
    """Return what the mixture gives for x (G, T, M) and the gradients of sum(output · output_gradient)."""
    x, router, first_matrix, second_matrix = (
        np.asarray(array, np.float64) for array in (x, router, first_matrix, second_matrix)
    )
    groups, tokens, _ = x.shape
    experts = router.shape[1]
    capacity = tokens if factor is None else min(tokens, 4 * math.ceil(tokens * factor / experts / 4))
    logits = x @ router
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    best = np.argsort(-shares, axis=-1, kind="stable")[..., :2]
    output = np.zeros_like(x)
    arrays = (x, router, first_matrix, second_matrix)
    gradients = {name: np.zeros_like(array) for name, array in zip("xrio", arrays, strict=True)}
    dropped, load = [0, 0], np.zeros((2, experts), int)
    for g in range(groups):
        kept = queue(best[g, :, 0], best[g, :, 1], real[g], experts, capacity)
        for t in np.flatnonzero(real[g]):
            pair = shares[g, t, best[g, t]]
            total = pair.sum() + 1e-9
            upstream, gate_gradient = output_gradient[g, t], np.zeros(2)
            for choice, expert in enumerate(best[g, t]):
                load[choice, expert] += 1
                if not kept[t, choice]:
                    dropped[choice] += 1
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
            share_gradient = np.zeros(experts)
            share_gradient[best[g, t]] = gate_gradient / total - (gate_gradient @ pair) / total**2
            logit_gradient = shares[g, t] * (share_gradient - shares[g, t] @ share_gradient)
            gradients["r"] += np.outer(x[g, t], logit_gradient)
            gradients["x"][g, t] += router @ logit_gradient
    return Reference(output, gradients, dropped, load, auxiliary_loss(shares, best[..., 0], real))


def auxiliary_loss(shares: np.ndarray, first: np.ndarray, real: np.ndarray) -> float:
    """Return E² · mean over experts of f · P, averaged over groups by their real tokens."""
    experts, total, weight = shares.shape[-1], 0.0, 0
    for group_shares, chosen, kind in zip(shares, first, real, strict=True):
        if count := int(kind.sum()):
            share_of_choices = np.bincount(chosen[kind], minlength=experts) / count
            total += count * experts**2 * np.mean(share_of_choices * group_shares[kind].mean(0))
            weight += count
    return total / weight


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


@pytest.mark.parametrize("factor", [1.0, 2.0, 2.5, None])
@pytest.mark.parametrize("dispatcher", DISPATCHERS)
def test_a_dispatcher_equals_the_loop_over_tokens(case, dispatcher, factor):
    x, router, first, second, real, upstream = case
    expected = reference_mixture(x, router, first, second, real, factor, upstream)

    def run(x, router, first, second):
        routing, losses, counts = route(x, router, jnp.asarray(real), factor)
        output = DISPATCHERS[dispatcher](x, routing, first, second, jax.nn.relu)
        return jnp.sum(output * upstream), (output, losses, counts)

    program = jax.jit(jax.value_and_grad(run, argnums=(0, 1, 2, 3), has_aux=True))
    (_, (output, losses, counts)), gradients = program(x, router, first, second)
    np.testing.assert_allclose(output, expected.output, rtol=1e-4, atol=2e-4)
    for name, gradient in zip("xrio", gradients, strict=True):
        np.testing.assert_allclose(gradient, expected.gradients[name], rtol=1e-3, atol=1e-3, err_msg=name)
    assert counts.dropped.tolist() == expected.dropped
    assert np.array_equal(counts.load, expected.load)
    assert losses.auxiliary == pytest.approx(expected.auxiliary, rel=1e-5)
    assert (sum(expected.dropped) > 0) == (factor in (1.0, 2.0))


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


@pytest.mark.parametrize(
    ("tokens", "experts", "factor", "slots"),
    [(1024, 64, 2.0, 32), (1024, 8, 2.0, 256), (100, 8, 2.0, 28), (16, 64, 2.0, 4), (8, 2, 8.0, 8), (24, 4, None, 24)],
)
def test_capacity_is_tokens_times_factor_over_experts_rounded_up_to_four(tokens, experts, factor, slots):
    assert expert_capacity(tokens, experts, factor) == slots
