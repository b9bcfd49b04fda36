"""Whole documents: every token is predicted once from what its window has before it, and its routers are asked once."""

from __future__ import annotations

import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipelines.progress import SilentDisplay
from pipelines.store.configuration import ConfigError
from pipelines.store.files import read_json
from tests.trainer.conftest import documents
from trainer.ablation.run_record import DOMAINS_FILE, EVALUATION_FILE
from trainer.ablation.worker import read_by_domain, score
from trainer.evaluation import language_modelling
from trainer.evaluation.bits_per_byte import score_heldout
from trainer.evaluation.checkpoint import load_checkpoint
from trainer.evaluation.evaluate_domains import domain_report, evaluate_domains, heldout_sources
from trainer.evaluation.expert_load import dropped_choices, load_of, moved_share, per_token
from trainer.evaluation.heldout_documents import heldout_documents
from trainer.evaluation.language_modelling import read_documents
from trainer.evaluation.record_file import RecordFile
from trainer.model.decoder import forward
from trainer.model.loss import logits
from trainer.model.routing import expert_capacity, route

STRIDE = 8


@pytest.fixture(scope="module")
def model(version, run):
    return load_checkpoint(run[1], version)


def held_out(version, model, source="manual"):
    return list(heldout_documents(version.heldout[source], version, model.writer.encoder))


def nowhere() -> RecordFile:
    return RecordFile(None, {})


def window_end(token: int, length: int, context: int, stride: int) -> int:
    """Where the window ends that predicts a token: the first one after `context` tokens, the next ones by stride."""
    windows = max(0, math.ceil((token - context) / stride))
    return min(length, context + windows * stride + 1)


def one_by_one(model, tokens: np.ndarray, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Predict every token in a row of its own; return nats and the experts (P, tokens, K) of the token before it."""
    context, count = model.context, len(tokens) - 1
    inputs, segments, last = np.zeros((count, context), np.int32), np.zeros((count, context), np.int32), []
    for row, token in enumerate(range(1, len(tokens))):
        before = tokens[max(0, window_end(token, len(tokens), context, stride) - context - 1) : token]
        inputs[row, : len(before)], segments[row, : len(before)] = before, 1
        last.append(len(before) - 1)
    hidden, routers = forward(model.writer.decoder, inputs, segments, model.settings, None, every_token=True)
    rows = np.asarray(logits(model.writer.decoder, hidden), np.float64)[np.arange(count), last]
    nats = np.log(np.exp(rows).sum(-1)) - rows[np.arange(count), tokens[1:]]
    return nats, np.asarray(routers.tokens.expert)[:, np.arange(count), last]


@pytest.mark.parametrize("stride", [1, STRIDE, 32])
def test_a_document_is_predicted_token_by_token_from_its_window(version, model, stride):
    document = next(one for one in held_out(version, model) if len(one.tokens) > 100)
    short = type(document)(document.id, document.text, document.tokens[:120])
    (record,) = read_documents(model, [short], stride, nowhere(), lambda _: None)
    nats, experts = one_by_one(model, short.tokens, stride)
    assert record["nats"] == pytest.approx(nats.sum(), rel=1e-5)
    assert record["tokens"] == len(nats) == 119
    load = [[int((layer == expert).sum()) for expert in range(model.settings.experts)] for layer in experts]
    assert record["load"] == load


def test_windows_by_the_context_give_nearly_the_bits_of_records(version, run, model):
    config, _ = run
    expected = score_heldout(model.writer.decoder, config.model, version, 4)["manual"]
    records = read_documents(model, held_out(version, model), model.context, nowhere(), lambda _: None)
    assert [record["document"] for record in records] == [identifier.hex() for identifier in expected.ids]
    assert [record["bytes"] for record in records] == expected.bytes.tolist()
    assert [record["tokens"] for record in records] == expected.tokens.tolist()
    bits = [record["nats"] / math.log(2) for record in records]  # the last window has more before it than a record
    np.testing.assert_allclose(bits, expected.bits, rtol=1e-3)


def test_more_context_tells_a_text_with_fewer_nats(version, model):
    whole, none = (
        sum(record["nats"] for record in read_documents(model, held_out(version, model), stride, nowhere(), print))
        for stride in (STRIDE, model.context)
    )
    assert whole < none


def test_held_out_documents_are_the_texts_that_were_held_out(version, model):
    found = {one.id: one.text for source in version.heldout for one in held_out(version, model, source)}
    texts = {identifier.hex(): text for identifier, text in documents()}
    assert found
    assert found == {identifier: texts[identifier] for identifier in found}


def test_reading_goes_on_where_it_stopped(version, model, tmp_path, monkeypatch):
    monkeypatch.setattr(language_modelling, "CHUNK_TOKENS", 600)
    texts, path, asked = held_out(version, model), tmp_path / "records.jsonl", []
    read = model.read
    monkeypatch.setattr(model, "read", lambda requests: asked.append(len(requests)) or read(requests))

    def records() -> list:
        return read_documents(model, texts, STRIDE, RecordFile(str(path), {"of": "test"}), lambda _: None)

    made, chunks = records(), len(asked)
    assert chunks > 2
    assert [record["example"] for record in made] == list(range(len(texts)))
    path.write_text("".join(path.read_text().splitlines(True)[:-1]))
    assert records() == made
    assert len(asked) == chunks + 1
    assert records() == made
    assert len(asked) == chunks + 1


@pytest.mark.parametrize("factor", [None, 0.5, 1.0])
@pytest.mark.parametrize("choices", [1, 2])
def test_drops_are_those_of_the_router_in_training(factor, choices):
    groups, tokens, experts = 5, 32, 4
    x = jax.random.normal(jax.random.key(3), (groups, tokens, 8))
    router = jax.random.normal(jax.random.key(4), (8, experts))
    real = jnp.arange(groups * tokens).reshape(groups, tokens) < groups * tokens - 7
    routing, _, counts = jax.jit(route, static_argnums=(3, 4))(x, router, real, factor, choices)
    stream = np.asarray(routing.expert).reshape(-1, choices)[:-7]
    found = dropped_choices(stream, experts, tokens, factor)
    lost = np.asarray(routing.slot).reshape(-1, choices)[:-7] >= expert_capacity(tokens, experts, factor)
    assert np.array_equal(found, lost)
    assert found.sum(axis=0).tolist() == counts.dropped.tolist()
    assert found.any() == (factor is not None)


def test_sums_of_documents_come_to_shares():
    sums = [
        {"load": [[3, 1], [0, 4]], "dropped": [[1, 0], [0, 2]], "entropy": [1.0, 0.5]},
        {"load": [[1, 3], [0, 4]], "dropped": [[0, 0], [0, 0]], "entropy": [0.2, 0.3]},
    ]
    assert load_of(sums).tolist() == [[0.5, 0.5], [0, 1]]
    assert per_token(sums, "dropped", 4).tolist() == [[0.25, 0], [0, 0.5]]
    assert per_token(sums, "entropy", 4).tolist() == pytest.approx([0.3, 0.2])
    assert moved_share(load_of(sums[:1]), load_of(sums)).tolist() == [0.25, 0]
    assert moved_share(np.array([[1.0, 0]]), np.array([[0, 1.0]])).tolist() == [1]


def test_a_report_without_stages_tells_components_and_says_what_it_does_not_know(version, run, tmp_path):
    report = domain_report(run[1], str(tmp_path), version, [], None, 3, SilentDisplay())
    assert set(report["component"]) == {"web"}
    assert set(report["out_of_domain"]) == {"reference"}
    assert (report["quality"], report["language"], report["component_quality"], report["unscored"]) == ({}, {}, {}, [])
    assert (report["in_domain"]["documents"], report["out_of_domain"]["reference"]["documents"]) == (3, 3)
    assert (report["layers"], report["experts"], report["stride"]) == ([0], 4, 16)


def test_a_study_reads_some_documents_of_a_run_with_experts_once_and_charges_for_it(version, run):
    config, run_dir = run
    score(run_dir, version, config, gpu=False)
    before = read_json(f"{run_dir}/{EVALUATION_FILE}")
    Path(run_dir, DOMAINS_FILE).unlink(missing_ok=True)
    read_by_domain(run_dir, version, config, 3, gpu=False)
    after = read_json(f"{run_dir}/{EVALUATION_FILE}")
    report = read_json(f"{run_dir}/{DOMAINS_FILE}")
    assert report["in_domain"]["documents"] == 3
    assert len(report["in_domain"]["routing"]["load"][0]) == 4
    tokens = 2 * sum(bucket["tokens"] for bucket in (report["in_domain"], report["out_of_domain"]["reference"]))
    assert after["tokens"] - before["tokens"] == tokens  # windows that overlap by half
    assert after["flops"] == after["tokens"] * before["flops"] // before["tokens"]
    assert after["cpu_seconds"] > before["cpu_seconds"]
    read_by_domain(run_dir, version, config, 5, gpu=False)
    assert read_json(f"{run_dir}/{EVALUATION_FILE}") == after


def test_a_stride_beyond_the_context_is_refused(version, model, tmp_path):
    with pytest.raises(ConfigError, match="--stride 33: the model reads 32 tokens; give 1 to 32"):
        evaluate_domains(model, heldout_sources(model, version), 33, None, SilentDisplay(), str(tmp_path))
