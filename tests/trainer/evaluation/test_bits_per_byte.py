from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from pipelines.store.errors import GlamError
from pipelines.store.files import join
from pipelines.store.versions import Version
from trainer.checkpoints import load_decoder
from trainer.data import Records, assemble
from trainer.evaluation.bits_per_byte import evaluate, read_scores, score_heldout
from trainer.model.decoder import forward
from trainer.model.loss import logits


def test_bits_are_those_of_the_definition_record_by_record(version, run):
    config, run_dir = run
    scores = evaluate(run_dir, version)
    decoder = load_decoder(run_dir, config.model, version.vocabulary_size)
    expected: dict[bytes, float] = {}
    for record in Records(version.heldout["manual"].shards, version.token_dtype):
        batch = assemble([record], 1, version.sequence_length)
        hidden, _ = forward(decoder, batch.inputs, batch.segments, config.model, None)
        rows = np.asarray(logits(decoder, hidden), np.float64)[0]
        surprise = np.log(np.exp(rows).sum(-1)) - rows[np.arange(len(rows)), batch.targets[0]]
        identifier = record.document_ids[0]
        expected[identifier] = expected.get(identifier, 0) + float(surprise[batch.counted[0]].sum()) / math.log(2)
    manual = scores["manual"]
    assert manual.ids == list(expected)
    np.testing.assert_allclose(manual.bits, list(expected.values()), rtol=1e-5)


def test_documents_and_bytes_are_the_manifests(version, run):
    scores = evaluate(run[1], version)
    assert set(scores) == {"manual", "reference"}
    for source, entry in version.heldout.items():
        assert (len(scores[source].ids), int(scores[source].bytes.sum())) == (entry.documents, entry.bytes)
        assert int(scores[source].tokens.sum()) == entry.tokens
        assert 1 < scores[source].bits_per_byte < 10
    assert (scores["manual"].out_of_domain, scores["reference"].out_of_domain) == (False, True)


def test_what_a_document_is_batched_with_changes_nothing(version, run):
    config, run_dir = run
    decoder = load_decoder(run_dir, config.model, version.vocabulary_size)
    few, many = (score_heldout(decoder, config.model, version, rows) for rows in (2, 7))
    for source in few:
        np.testing.assert_allclose(few[source].bits, many[source].bits, rtol=1e-5)


def test_scores_are_kept_and_the_file_is_the_same_every_time(version, run):
    run_dir = run[1]
    scores = evaluate(run_dir, version)
    path = Path(join(run_dir, "heldout.parquet"))
    data, kept = path.read_bytes(), read_scores(str(path))
    assert kept is not None
    for source in scores:
        assert np.array_equal(kept[source].bits, scores[source].bits)
        assert kept[source].ids == scores[source].ids
    path.unlink()
    evaluate(run_dir, version)
    assert path.read_bytes() == data
    assert read_scores(str(path), {"weights": "others"}) is None


def test_a_manifest_that_disagrees_with_the_shards_is_refused(version, run):
    config, run_dir = run
    manifest = {**version.manifest, "heldout": {**version.manifest["heldout"]}}
    manifest["heldout"]["manual"] = {**manifest["heldout"]["manual"], "bytes": 1}
    decoder = load_decoder(run_dir, config.model, version.vocabulary_size)
    with pytest.raises(GlamError, match="held-out source manual hold 5 documents and"):
        score_heldout(decoder, config.model, Version(version.url, manifest), 4)


def test_a_run_that_is_not_there_is_named(version, tmp_path):
    with pytest.raises(GlamError, match=r"run\.json: there is no such file"):
        evaluate(str(tmp_path), version)
