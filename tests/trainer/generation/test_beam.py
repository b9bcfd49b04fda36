"""Beam search against the search through every continuation there is."""

from __future__ import annotations

import itertools
from functools import cache

import jax
import numpy as np
import pytest

from trainer.config import ModelSettings
from trainer.generation.beam import search
from trainer.generation.decoding import Decoding
from trainer.generation.settings import GenerationSettings
from trainer.generation.stopping import Stop
from trainer.model.decoder import forward
from trainer.model.loss import logits
from trainer.model.parameters import initialize

VOCABULARY, LENGTH, PROMPT = 4, 4, [1, 3, 0, 2, 2, 3]
SETTINGS = ModelSettings(layers=2, model_dim=16, hidden_dim=16, heads=2, head_dim=8, group_size=10)
STOP_IDS, LETTERS = frozenset([2]), "abcd"


def stop(*texts: str) -> Stop:
    return Stop(STOP_IDS, texts, LENGTH, lambda ids: "".join(LETTERS[token] for token in ids))


@cache
def decoder(seed: int):
    made = initialize(SETTINGS, VOCABULARY, jax.random.key(seed))
    made.norm[...] = made.norm[...] * 0.6  # flatter, so that the search has something to find
    return made


def beam(seed: int, width: int, exponent: float = 0.6, *texts: str):
    settings = GenerationSettings(max_tokens=LENGTH, method="beam", beam_width=width, length_exponent=exponent)
    ids = np.array([PROMPT], np.int32)
    decoding = Decoding(decoder(seed), SETTINGS, ids, np.ones_like(ids, bool), LENGTH)
    (found,) = search(decoding, 1, stop(*texts), settings)
    return found


@jax.jit
def whole_pass(decoder, ids):
    hidden, _ = forward(decoder, ids, jax.numpy.ones_like(ids), SETTINGS, None)
    return jax.nn.log_softmax(logits(decoder, hidden))


@cache
def log_probabilities(seed: int) -> dict[tuple[int, ...], float]:
    """The log-probability of every sequence of up to LENGTH tokens after the prompt, by whole forward passes."""
    every = np.array([[*PROMPT, *tokens] for tokens in itertools.product(range(VOCABULARY), repeat=LENGTH)])
    rows = np.asarray(whole_pass(decoder(seed), every), np.float64)
    known = {}
    for ids, row in zip(every[:, len(PROMPT) :], rows[:, len(PROMPT) - 1 : -1], strict=True):
        sums = np.cumsum(row[np.arange(LENGTH), ids])
        known |= {tuple(ids[: n + 1].tolist()): float(sums[n]) for n in range(LENGTH)}
    return known


def best_of_all(seed: int, exponent: float, *texts: str) -> tuple[tuple[int, ...], float]:
    ends = stop(*texts)
    over = {
        ids: value / ((5 + len(ids)) / 6) ** exponent
        for ids, value in log_probabilities(seed).items()
        if ends.reason(ids) and not any(ends.reason(ids[:n]) for n in range(1, len(ids)))
    }
    return max(over.items(), key=lambda item: item[1])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("exponent", "texts"), [(0.0, ()), (0.6, ("ab", "dd")), (2.0, ())])
def test_a_beam_as_wide_as_there_are_continuations_finds_the_best_of_all(seed, exponent, texts):
    found = beam(seed, VOCABULARY**LENGTH, exponent, *texts)
    ids, worth = best_of_all(seed, exponent, *texts)
    assert found.ids == ids
    assert found.log_probability / ((5 + len(ids)) / 6) ** exponent == pytest.approx(worth, rel=1e-4)
    assert found.reason == stop(*texts).reason(ids)


@pytest.mark.parametrize("seed", range(4))
def test_a_beam_of_width_one_is_the_greedy_choice(seed):
    ids: tuple[int, ...] = ()
    while not ids or not stop("ab").reason(ids):
        ids = max(((*ids, token) for token in range(VOCABULARY)), key=log_probabilities(seed).__getitem__)
    assert beam(seed, 1, 0.6, "ab").ids == ids


def test_a_wider_beam_finds_what_the_greedy_choice_misses():
    worths = {width: [beam(seed, width, 0.0).log_probability for seed in range(4)] for width in (1, 3)}
    assert all(wide >= narrow - 1e-5 for narrow, wide in zip(worths[1], worths[3], strict=True))
    assert any(wide > narrow + 1e-3 for narrow, wide in zip(worths[1], worths[3], strict=True))


def test_what_ends_a_continuation_is_cut_from_its_text():
    ends = stop("bd", "d")
    assert ends.reason((0, 1)) is None
    assert ends.reason((0, 1, 3)) == "text"
    assert ends.finish((0, 1, 3), -1.0, "text").text == "a"
    assert ends.finish((0, 1, 2), -1.0, "id").text == "ab"
    assert ends.reason((0, 1, 1, 0)) == "length"
    assert ends.finish((0, 1, 1, 0), -1.0, "length").text == "abba"
