"""Draws have the model's probabilities, and are a function of seed, prompt, sample and position."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy import stats

from trainer.generation.sampling import draw, likeliest, row_seeds

LOGITS = np.array([0.5, 2.0, -1.0, 1.5, 0.0, 2.0], np.float32)
ROWS = 20_000


def drawn(temperature: float = 1.0, top_k: int = 0, seed: int = 0, position: int = 0) -> np.ndarray:
    seeds = row_seeds(seed, [[7]] * ROWS, range(ROWS))
    ids, _ = draw(np.tile(LOGITS, (ROWS, 1)), seeds, np.int32(position), np.float32(temperature), top_k)
    return np.asarray(ids)


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, 0), (0.5, 0), (2.0, 4), (1.0, 1)])
def test_tokens_are_drawn_by_their_probability_among_the_top_k(temperature, top_k):
    allowed = np.argsort(-LOGITS, kind="stable")[: top_k or len(LOGITS)]
    shares = np.zeros(len(LOGITS))
    shares[allowed] = np.exp(LOGITS[allowed] / temperature)
    expected = ROWS * shares / shares.sum()
    counts = np.bincount(drawn(temperature, top_k), minlength=len(LOGITS))
    assert counts[expected == 0].sum() == 0
    if top_k != 1:
        assert stats.chisquare(counts[expected > 0], expected[expected > 0]).pvalue > 0.001


def test_seeds_prompts_samples_and_positions_draw_apart():
    first = drawn()
    assert np.array_equal(first, drawn())
    for other in (drawn(seed=1), drawn(position=1)):
        table = np.zeros((len(LOGITS),) * 2)
        np.add.at(table, (first, other), 1)
        assert stats.chi2_contingency(table).pvalue > 0.001
    one, two, longer = row_seeds(0, [[1, 2], [2, 1], [1, 2, 0]], [0, 0, 0])
    assert len({tuple(seed) for seed in (one, two, longer, *row_seeds(0, [[1, 2]], [1]))}) == 4


def test_the_log_probability_is_the_models_whatever_is_drawn_from():
    rows = np.tile(LOGITS, (4, 1))
    expected = np.asarray(jax.nn.log_softmax(LOGITS))
    seeds = row_seeds(3, [[1]] * 4, range(4))
    for ids, values in (likeliest(rows), draw(rows, seeds, np.int32(0), np.float32(0.3), 2)):
        np.testing.assert_allclose(values, expected[np.asarray(ids)], rtol=1e-5)
    assert likeliest(rows)[0].tolist() == [1] * 4  # of equal ones the first
