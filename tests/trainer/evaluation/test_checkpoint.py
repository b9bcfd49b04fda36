"""A checkpoint's log-likelihoods, packed into few programs, are those of the definition."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.data import assemble
from trainer.evaluation.checkpoint import BATCH_TOKENS, CheckpointModel, batch_rows, load_checkpoint
from trainer.evaluation.evaluated_model import LikelihoodRequest
from trainer.evaluation.packing import pack_lengths
from trainer.evaluation.token_scores import compiled_token_scores
from trainer.evaluation.windows import text_windows
from trainer.model.decoder import forward
from trainer.model.loss import logits


@pytest.fixture(scope="module")
def model(version, run):
    return load_checkpoint(run[1], version)


def requests_of(model: CheckpointModel, number: int) -> list[LikelihoodRequest]:
    """Make requests of all lengths and splits from the tokens of a text."""
    (text,) = model.encode(["The quick brown fox jumps over the lazy dog, and then it sleeps. " * 40])
    generator = np.random.default_rng(5)
    made = []
    for _ in range(number):
        length, first = int(generator.integers(2, model.context + 2)), int(generator.integers(0, 200))
        tokens = np.concatenate([[model.document_start], text[first : first + length - 1]]).astype(np.int32)
        made.append(LikelihoodRequest(tokens, int(generator.integers(1, length))))
    return made


def by_definition(model: CheckpointModel, request: LikelihoodRequest) -> tuple[float, bool]:
    """Score one request alone in a row of its own, from all the logits."""
    inputs = np.zeros((1, model.context), np.int32)
    inputs[0, : len(request.tokens) - 1] = request.tokens[:-1]
    segments = (np.arange(model.context) < len(request.tokens) - 1).astype(np.int32)[None]
    hidden, _ = forward(model.writer.decoder, inputs, segments, model.settings, None)
    rows = np.asarray(logits(model.writer.decoder, hidden), np.float64)[0]
    places = np.arange(request.start - 1, len(request.tokens) - 1)
    targets = request.tokens[request.start :]
    normalized = rows - np.log(np.exp(rows).sum(-1, keepdims=True))
    return float(normalized[places, targets].sum()), bool((rows[places].argmax(-1) == targets).all())


def test_packed_log_likelihoods_are_those_of_each_request_alone(model):
    requests = requests_of(model, 40)
    likelihoods, greedy = model.score(requests)
    expected = [by_definition(model, request) for request in requests]
    np.testing.assert_allclose(likelihoods, [value for value, _ in expected], rtol=1e-4, atol=1e-4)
    assert greedy.tolist() == [flag for _, flag in expected]
    assert any(greedy)


def test_equal_requests_have_equal_log_likelihoods_and_order_does_not_matter(model):
    requests = requests_of(model, 60)
    once = model.log_likelihoods(requests)
    twice = model.log_likelihoods([*reversed(requests), *requests])
    assert np.array_equal(twice[:60][::-1], twice[60:])
    np.testing.assert_allclose(twice[60:], once, rtol=1e-5)
    assert len(model.log_likelihoods([])) == 0


def test_any_requests_are_scored_by_one_program(model):
    program = compiled_token_scores(model.settings)
    before = program._cache_size()
    model.log_likelihoods(requests_of(model, 300))
    model.log_likelihoods(requests_of(model, 3))
    assert program._cache_size() - before <= 1


def test_rows_are_nearly_full_and_requests_never_overlap():
    lengths = np.random.default_rng(1).integers(1, 129, 3000).tolist()
    places = pack_lengths(lengths, 128)
    taken = np.zeros((max(place.row for place in places) + 1, 128), int)
    for (row, first), length in zip(places, lengths, strict=True):
        taken[row, first : first + length] += 1
    assert taken.max() == 1
    assert taken.mean() > 0.98


@pytest.mark.parametrize(("context", "group"), [(128, 256), (32, 32), (100, 256), (1024, 1024), (9000, 1)])
def test_batches_are_whole_rows_and_groups_near_the_wanted_size(context, group):
    rows = batch_rows(context, group)
    assert rows * context % group == 0
    assert rows * context <= max(2 * BATCH_TOKENS, context, context * group)


@pytest.mark.parametrize("stride", [None, 4, 16])
@pytest.mark.parametrize("length", [1, 2, 16, 17, 18, 100])
def test_every_token_of_a_text_is_a_target_once_with_as_much_before_it_as_fits(length, stride):
    tokens = np.arange(length, dtype=np.int32)
    windows = list(text_windows(tokens, 16, stride))
    targets = np.concatenate([[], *(window[start:] for window, start in windows)])
    assert targets.tolist() == tokens[1:].tolist()
    for window, start in windows:
        assert len(window) <= 17
        assert start >= min(window[start], 16 - (stride or 16) + 1)


def test_a_batch_holds_what_assemble_makes_of_one_request(model):
    from pipelines.store.sequences import SequenceRecord
    from trainer.evaluation.packing import Place, fill

    tokens = np.arange(5, 5 + model.context + 1, dtype=np.int32)
    bounds = np.array([0, model.context + 1], np.uint32)
    record = SequenceRecord(tokens.astype(np.uint16), bounds, [b"0" * 16], np.zeros(1, np.uint32))
    expected = assemble([record], 2, model.context)
    made = fill([(LikelihoodRequest(tokens, 1), Place(0, 0))], 2, model.context)
    for ours, theirs in zip(made, expected, strict=True):
        assert np.array_equal(ours, theirs)
