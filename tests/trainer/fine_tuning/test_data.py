"""Every example is read once an epoch, alone among others, and its answer alone counts."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.store.configuration import ConfigError
from pipelines.store.files import read_bytes
from tokenizer.encode import Encoder
from trainer.batch import Batch
from trainer.config import ModelSettings
from trainer.fine_tuning.data import FineTuningData
from trainer.fine_tuning.examples import Example, read_examples
from trainer.model.loss import losses
from trainer.model.parameters import initialize

LENGTH, ROWS = 16, 2


def example(number: int, prompt: int, answer: int) -> Example:
    """An example whose tokens tell which it is."""
    return Example(np.array([2, *[10 + number] * (prompt + answer), 2], np.int32), prompt, 0)


def segments(batch: Batch) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Inputs, targets and which count of every segment of a batch, in order."""
    found = []
    for row in range(len(batch.inputs)):
        numbers = batch.segments[row]
        for number in range(1, numbers.max() + 1):
            here = numbers == number
            found.append((batch.inputs[row, here], batch.targets[row, here], batch.counted[row, here]))
    return found


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(0, 7), st.integers(1, 8)), min_size=1, max_size=12), seed=st.integers(0, 2**31)
)
def test_an_epoch_has_every_example_once_and_counts_its_answer_and_end(sizes, seed):
    examples = [example(number, *size) for number, size in enumerate(sizes)]
    data = FineTuningData(examples, ROWS, LENGTH, seed)
    batches = [data.batch(step) for step in range(data.steps(2))]
    read = [segment for batch in batches for segment in segments(batch)]
    for epoch in (read[: len(sizes)], read[len(sizes) : 2 * len(sizes)]):
        numbers = [int(targets[0]) - 10 for _, targets, _ in epoch]
        assert sorted(numbers) == list(range(len(sizes)))
        for number, (inputs, targets, counted) in zip(numbers, epoch, strict=True):
            prompt, answer = sizes[number]
            assert np.array_equal([*inputs, targets[-1]], examples[number].tokens)
            assert counted.tolist() == [False] * prompt + [True] * (answer + 1)
    for batch in batches:
        assert not batch.counted[batch.segments == 0].any()
    again = FineTuningData(examples, ROWS, LENGTH, seed)
    for step in reversed(range(len(batches))):  # any batch is known without the ones before
        assert all(np.array_equal(a, b) for a, b in zip(again.batch(step), batches[step], strict=True))


def test_epochs_and_seeds_have_orders_of_their_own_and_rows_are_filled():
    examples = [example(number, 2, 1) for number in range(40)]
    data = FineTuningData(examples, ROWS, LENGTH, 0)
    assert data.steps(1) == 5  # four examples of four inputs a row
    first, second = ([number for row in data.rows(range(start, start + 10)) for number in row] for start in (0, 10))
    assert sorted(first) == sorted(second) == list(range(40))
    other = [number for row in FineTuningData(examples, ROWS, LENGTH, 1).rows(range(10)) for number in row]
    assert len({tuple(order) for order in (first, second, other, sorted(first))}) == 4


def test_the_loss_is_the_mean_surprise_of_the_answers_each_alone():
    model = ModelSettings(layers=2, model_dim=16, hidden_dim=16, heads=2, head_dim=8, experts=0)
    decoder = initialize(model, 50, jax.random.key(0))
    tokens = [np.array([2, *range(3 + n, 9 + n), 2], np.int32) for n in range(4)]
    examples = [Example(row, prompt, 0) for row, prompt in zip(tokens, (0, 2, 4, 5), strict=True)]
    packed = FineTuningData(examples, ROWS, LENGTH, 0).batch(0)
    assert len(segments(packed)) == 4
    entropy = jax.jit(lambda batch: losses(decoder, batch, model, 0)[0].cross_entropy)
    total, count = 0.0, 0
    for one in examples:
        alone = FineTuningData([one], ROWS, LENGTH, 0).batch(0)
        alone = jax.tree.map(lambda array: np.where([[True], [False]], array, 0), alone)  # not the next epoch's
        total += float(entropy(alone)) * (7 - one.prompt)
        count += 7 - one.prompt
    assert float(entropy(packed)) == pytest.approx(total / count, rel=1e-5)


def test_an_example_is_document_start_prompt_answer_and_document_start(version, tmp_path):
    encoder = Encoder(read_bytes(version.tokenizer_url))
    path = tmp_path / "examples.jsonl"
    path.write_text('{"prompt": "The value of", "answer": " x is"}\n\n{"prompt": "", "answer": "def"}\n')
    first, second = read_examples(str(path), encoder, 32)
    prompt, answer = (ids.tolist() for ids in encoder.encode_batch(["The value of", " x is"]))
    assert first.tokens.tolist() == [2, *prompt, *answer, 2]
    assert (first.prompt, first.cut, second.prompt) == (len(prompt), 0, 0)
    room = len(answer) + 3
    (short, _) = read_examples(str(path), encoder, room)
    assert short.tokens.tolist() == [*prompt[-3:], *answer, 2]
    assert (short.prompt, short.cut) == (2, len(prompt) - 2)
    with pytest.raises(
        ConfigError, match=rf"example 1: answer: has {len(answer)} tokens, a sequence of 4 has room for 2"
    ):
        read_examples(str(path), encoder, 4)
