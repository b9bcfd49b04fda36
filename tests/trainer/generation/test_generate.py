"""A continuation is a function of its prompt and the settings, whatever it is batched with."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.store.configuration import ConfigError
from pipelines.store.files import read_bytes
from tokenizer.encode import Encoder
from trainer.config import ModelSettings
from trainer.generation.decoding import _compiled_prefill, _compiled_step
from trainer.generation.generate import LanguageModel, generate, length_class
from trainer.generation.settings import GenerationSettings
from trainer.model.decoder import forward
from trainer.model.loss import logits
from trainer.model.parameters import initialize

SETTINGS = ModelSettings(layers=2, model_dim=16, hidden_dim=16, heads=2, head_dim=8, group_size=32)
CONTEXT, TOKENS, ROWS = 32, 8, 4
METHODS = [
    {"method": "greedy"},
    {"method": "sample", "top_k": 20, "temperature": 1.5},
    {"method": "beam", "beam_width": 2},
]
START = 2


@pytest.fixture(scope="module")
def model(version):
    """A model that was never trained, flat enough to say different things."""
    encoder = Encoder(read_bytes(version.tokenizer_url))
    decoder = initialize(SETTINGS, encoder.vocabulary_size, jax.random.key(0))
    decoder.norm[...] = decoder.norm[...] * 0.5
    return LanguageModel(decoder, SETTINGS, encoder, CONTEXT)


def run(model, prompts, method, **more):
    return generate(model, prompts, GenerationSettings(max_tokens=TOKENS, **method), rows=ROWS, **more)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method["method"])
@settings(max_examples=6, deadline=None, derandomize=True)
@given(
    prompts=st.lists(
        st.lists(st.integers(3, 399), min_size=0, max_size=CONTEXT + 4).map(lambda ids: [START, *ids]),
        min_size=2,
        max_size=6,
    )
)
def test_what_a_prompt_is_batched_with_changes_nothing(model, method, prompts):
    together = run(model, prompts, method)
    assert together == [run(model, [prompt], method)[0] for prompt in prompts]
    assert [found.cut for found in together] == [max(0, len(prompt) - (CONTEXT - TOKENS)) for prompt in prompts]


def test_greedy_is_the_likeliest_token_of_the_whole_forward_pass(model):
    prompt = [START, 40, 50, 60, 70]
    (found,) = run(model, [prompt], METHODS[0])
    ids, sums = np.zeros((1, CONTEXT), np.int32), 0.0
    ids[0, : len(prompt)] = prompt

    @jax.jit
    def whole_pass(ids):
        return logits(model.decoder, forward(model.decoder, ids, jnp.ones_like(ids), SETTINGS, None)[0])

    for place, token in enumerate(found.ids, len(prompt)):
        row = np.asarray(whole_pass(ids)[0, place - 1], np.float64)
        assert token == row.argmax()
        sums += row[token] - np.log(np.exp(row).sum())
        ids[0, place] = token
    assert found.log_probability == pytest.approx(sums, rel=1e-4)
    assert found.reason == "length"
    assert found.text == model.encoder.decode(found.ids)


def test_a_continuation_stops_before_a_text_and_at_the_end_of_a_document(model):
    sampled = METHODS[1] | {"seed": 5}
    prompts = model.encode(["def", "The value of"])
    whole = run(model, prompts, sampled)
    for number, found in enumerate(whole):
        wanted = found.text[2:4]
        short = run(model, prompts, sampled | {"stop": (wanted, "not to be found")})[number]
        assert short.reason == "text"
        assert short.text == found.text[: found.text.index(wanted)]
        assert found.ids[: len(short.ids)] == short.ids
    ended = [found for found in run(model, [[START, 9]] * 300, sampled, samples=range(300)) if found.reason == "id"]
    assert ended
    assert all(found.ids[-1] == START and START not in found.ids[:-1] for found in ended)
    assert all(found.text == model.encoder.decode(found.ids[:-1]) for found in ended)


def test_samples_of_a_prompt_differ_and_a_seed_repeats_them(model):
    prompts = [[START, 7]] * 6
    first = run(model, prompts, METHODS[1], samples=range(6))
    assert len({found.ids for found in first}) > 1
    assert first == run(model, prompts[::-1], METHODS[1], samples=range(5, -1, -1))[::-1]
    assert first != run(model, prompts, METHODS[1] | {"seed": 1}, samples=range(6))
    assert len(set(run(model, prompts, METHODS[1]))) == 1


def test_prompts_of_any_length_share_a_few_programs(model):
    run(model, [[START] * n for n in (1, 20)], METHODS[0])
    prefill, step = _compiled_prefill(SETTINGS, 16 + TOKENS), _compiled_step(SETTINGS)
    compiled = prefill._cache_size(), step._cache_size()
    run(model, [[START] * n for n in range(1, 30)], METHODS[0])
    assert (prefill._cache_size(), step._cache_size()) == compiled


@pytest.mark.parametrize(
    ("length", "longest", "padded"), [(1, 96, 16), (16, 96, 16), (17, 96, 32), (65, 96, 96), (9, 12, 12)]
)
def test_lengths_are_padded_to_a_power_of_two_up_to_the_context(length, longest, padded):
    assert length_class(length, longest) == padded


def test_what_cannot_be_generated_is_refused(model):
    with pytest.raises(ConfigError, match="max_tokens: 32 leaves nothing of the context of 32 tokens for a prompt"):
        generate(model, [[START]], GenerationSettings(max_tokens=CONTEXT))
    with pytest.raises(ConfigError, match="prompt 2: has no tokens"):
        run(model, [[START], []], METHODS[0])
    with pytest.raises(ValueError, match="an empty text stands everywhere"):
        GenerationSettings(stop=("",))
