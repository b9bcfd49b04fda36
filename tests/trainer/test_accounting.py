"""Closed forms against the authors' figure, the published table, and the parameters that are really there."""

from __future__ import annotations

import jax
import pytest

from trainer.accounting import cost
from trainer.config import ModelSettings
from trainer.model.parameters import initialize

# name: layers, M, H, N, D, E, vocabulary, published total and active (None where the printed figure is wrong)
FAMILY = {
    "0.1B": (12, 768, 3072, 12, 64, 0, 32_000, None, None),
    "1.7B/64E": (24, 2048, 8192, 16, 128, 64, 32_000, 27e9, 1.879e9),
    "1.7B/128E": (24, 2048, 8192, 16, 128, 128, 32_000, 53e9, 1.881e9),
    "1.7B/256E": (24, 2048, 8192, 16, 128, 256, 32_000, 105e9, 1.886e9),
    "1.7B/32E": (24, 2048, 8192, 16, 128, 32, 32_000, None, 1.878e9),
    "8B": (32, 4096, 16384, 32, 128, 0, 32_000, 8.7e9, 8.7e9),
    "8B/64E": (32, 4096, 16384, 32, 128, 64, 32_000, 143e9, 9.8e9),
    "137B": (64, 8192, 65536, 128, 128, 0, 32_000, 137e9, 137e9),
    "64B/64E": (64, 8192, 32768, 128, 128, 64, 256_000, 1.2e12, 96.6e9),
}


def family_member(name: str) -> tuple[ModelSettings, int]:
    layers, width, hidden, heads, head_dim, experts, vocabulary, *_ = FAMILY[name]
    model = ModelSettings(
        layers=layers,
        model_dim=width,
        hidden_dim=hidden,
        heads=heads,
        head_dim=head_dim,
        experts=experts,
        twin="family",
    )
    return model, vocabulary


def test_the_dense_137b_to_the_unit():
    assert cost(*family_member("137B"), 1024).parameters == 137_702_416_384


@pytest.mark.parametrize("name", FAMILY)
def test_the_published_table(name):
    *_, total, active = FAMILY[name]
    model_cost = cost(*family_member(name), 1024)
    if total:
        tolerance = 0.035 if total == 1.2e12 else 0.01  # the paper prints 1.2T for 1.162T
        assert model_cost.parameters == pytest.approx(total, rel=tolerance)
    if active:
        assert model_cost.active == pytest.approx(active, rel=0.006)
    assert model_cost.active <= model_cost.parameters


def test_flops_of_the_largest_model():
    model, vocabulary = family_member("64B/64E")
    with_attention, without = cost(model, vocabulary, 1024), cost(model, vocabulary, 0)
    assert without.forward_flops == pytest.approx(193e9, rel=0.002)
    assert with_attention.forward_flops - without.forward_flops == pytest.approx(4.3e9, rel=0.01)


@pytest.mark.parametrize("changes", [{}, {"experts": 0}, {"experts": 0, "twin": "family"}, {"layers": 6, "experts": 8}])
def test_the_closed_form_counts_the_parameters_that_are_there(changes):
    model = ModelSettings(**changes)
    decoder = jax.eval_shape(lambda: initialize(model, 500, jax.random.key(0)))
    assert cost(model, 500, 1).parameters == sum(leaf.size for leaf in jax.tree.leaves(decoder))


def test_the_flops_twin_costs_what_two_experts_cost():
    mixture, twin = ModelSettings(experts=4), ModelSettings(experts=0, twin="flops")
    router = 2 * 2 * mixture.model_dim * mixture.experts
    assert cost(mixture, 4096, 128).forward_flops - router == cost(twin, 4096, 128).forward_flops
