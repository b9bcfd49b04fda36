"""Closed forms against the authors' figure, the published table, and the parameters that are really there."""

from __future__ import annotations

import jax
import pytest

from trainer.accounting import cost
from trainer.config import ModelSettings
from trainer.family import FAMILY
from trainer.model.parameters import initialize


def family_member(name: str) -> tuple[ModelSettings, int]:
    return ModelSettings.model_validate({"size": name}), FAMILY[name].vocabulary


def test_the_dense_137b_to_the_unit():
    assert cost(*family_member("137B"), 1024).parameters == 137_702_416_384


@pytest.mark.parametrize("name", FAMILY)
def test_published_figures_within_the_stated_tolerance(name):
    size = FAMILY[name]
    counted = cost(*family_member(name), 1024)
    if size.parameters:
        assert counted.parameters == pytest.approx(size.parameters, rel=size.tolerance[0])
    if size.active:
        assert counted.active == pytest.approx(size.active, rel=size.tolerance[1])
    assert counted.active <= counted.parameters


def test_every_published_size_is_in_the_family():
    glam = [name for name, size in FAMILY.items() if size.source == "GLaM"]
    assert glam == [
        *("0.1B", "0.1B/64E", "1.7B", "1.7B/32E", "1.7B/64E", "1.7B/128E", "1.7B/256E"),
        *("8B", "8B/64E", "137B", "64B/64E"),
    ]
    assert sum(size.source == "Artetxe et al." for size in FAMILY.values()) == 10


@pytest.mark.parametrize("name", FAMILY)
def test_the_closed_form_counts_the_parameters_of_every_size(name):
    model, vocabulary = family_member(name)
    decoder = jax.eval_shape(lambda: initialize(model, vocabulary, jax.random.key(0)))
    assert cost(model, vocabulary, 1).parameters == sum(leaf.size for leaf in jax.tree.leaves(decoder))


def test_flops_of_the_largest_model():
    model, vocabulary = family_member("64B/64E")
    with_attention, without = cost(model, vocabulary, 1024), cost(model, vocabulary, 0)
    assert without.forward_flops == pytest.approx(193e9, rel=0.002)
    assert with_attention.forward_flops - without.forward_flops == pytest.approx(4.3e9, rel=0.01)


@pytest.mark.parametrize(
    "changes",
    [{}, {"experts": 0}, {"experts": 0, "twin": "family"}, {"layers": 6, "experts": 8}, {"choices": 1, "experts": 0}],
)
def test_the_closed_form_counts_the_parameters_that_are_there(changes):
    model = ModelSettings(**changes)
    decoder = jax.eval_shape(lambda: initialize(model, 500, jax.random.key(0)))
    assert cost(model, 500, 1).parameters == sum(leaf.size for leaf in jax.tree.leaves(decoder))


@pytest.mark.parametrize("choices", [1, 2])
def test_the_flops_twin_costs_what_a_tokens_experts_cost(choices):
    mixture = ModelSettings(experts=4, choices=choices)
    twin = ModelSettings(experts=0, twin="flops", choices=choices)
    router = 2 * 2 * mixture.model_dim * mixture.experts
    assert cost(mixture, 4096, 128).forward_flops - router == cost(twin, 4096, 128).forward_flops
