"""Scores of a built corpus: cross-fitted, sampled by the table that is stored, or by an existing model."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.build import build
from pipelines.config import ConfigError, load_corpus_config
from pipelines.documents import THRESHOLDS_PATH, read_table
from pipelines.folds import ClassifierError, Folds, model_path, read_classifier
from pipelines.progress import SilentDisplay
from pipelines.store.files import read_bytes
from pipelines.store.hashing import KeyedHash, document_id, keyed_hash
from quality_filter.examples import document_examples
from quality_filter.sampling import SCORE_UNITS, ParetoTable, closed_form_share, rank_quantile
from quality_filter.train import train_classifier
from tests.pipelines.small_corpus import write_corpus


@pytest.fixture(scope="module")
def config_file(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("quality") / "data")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return str(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def stages(config_file, store):
    return run_until("sample", config_file, store)


def run_until(step, config_file, store, *overrides):
    config = load_corpus_config(str(config_file), overrides)
    return {stage.stage: stage for stage in build(config, store, [], SilentDisplay(), until=step).stages}


def decided(stage):
    tables = [read_table(url) for url in stage.urls("decisions/")]
    return {row["id"]: row for table in tables for row in table.to_pylist()}


def test_no_model_learned_from_a_document_that_it_scores(stages, config_file):
    config = load_corpus_config(str(config_file))
    sample = read_table(f"{stages['classifier'].url}/train_sample.parquet")
    scored = {name for name, source in config.sources.items() if source.component in config.quality.scored}
    fold = Folds(config.seed, 2).of_sample(sample, scored)
    order = KeyedHash(config.seed, "classifier")
    settings = config.quality.classifier
    scores = decided(stages["quality"])
    for number in (0, 1):
        others = [row for row, its_fold in zip(sample.to_pylist(), fold.tolist(), strict=True) if its_fold != number]
        examples = [
            example
            for row in others
            for example in document_examples(
                row["id"], row["source"], row["label"] == "positive", row["text"], settings, order
            )
        ]
        model = f"{stages['classifier'].url}/{model_path(number)}"
        assert train_classifier(examples, settings, order).to_bytes() == read_bytes(model)
        rows = [row for row, its_fold in zip(sample.to_pylist(), fold.tolist(), strict=True) if its_fold == number]
        scored = [row for row in rows if scores[row["id"]]["score"] is not None]
        assert len(scored) > 10
        assert {scores[row["id"]]["fold"] for row in scored} == {number}
        known = {row["host"] for row in others if row["host"]}
        assert not known & {row["host"] for row in scored}, "a site whose pages are scored was learned from"
        expected = read_classifier(model).score_batch([row["text"] for row in scored]).tolist()
        assert [scores[row["id"]]["score"] for row in scored] == expected


def test_what_was_learned_from_is_told_by_length(stages):
    training = read_classifier(f"{stages['classifier'].url}/{model_path(0)}").training
    rows = training["lengths"]
    assert sum(row["positives"] for row in rows) == sum(training["positives"].values())
    assert sum(row["negatives"] for row in rows) == sum(training["negatives"].values())
    assert any(row["drawn"] < row["negatives"] for row in rows), "short pages are left out: no positive is as short"


def test_sampling_follows_the_stored_table(stages, config_file):
    table = np.frombuffer(read_bytes(f"{stages['sample'].url}/{THRESHOLDS_PATH}"), "<u8")
    assert table.tolist() == ParetoTable("3").thresholds.tolist()
    assert THRESHOLDS_PATH in stages["sample"].paths()
    rows = [row for row in decided(stages["sample"]).values() if row["keep"] is not None]
    assert {row["keep"] for row in rows} == {True, False}
    seed = load_corpus_config(str(config_file)).seed
    for row in rows:
        assert row["draw"] == keyed_hash(seed, "pareto", row["id"])
        assert row["keep"] == (row["draw"] < int(table[row["rank"]]))


@pytest.mark.parametrize(("alpha", "decisions"), [("9", {False}), ("1", {True, False})])
def test_sampling_on_the_score_goes_by_the_score(stages, config_file, store, alpha, decisions):
    built = run_until("sample", config_file, store, "sample.on=score", f"sample.alpha={alpha}")
    assert built["quality"].reused
    table = ParetoTable(alpha).thresholds
    scores = {identifier: row["score"] for identifier, row in decided(stages["quality"]).items()}
    rows = [row for row in decided(built["sample"]).values() if row["keep"] is not None]
    assert {row["keep"] for row in rows} == decisions, "the small corpus's pages have low scores: 9 keeps none"
    assert all(row["keep"] == (row["draw"] < int(table[scores[row["id"]]])) for row in rows)
    assert any(row["keep"] != (row["draw"] < int(table[row["rank"]])) for row in rows), "ranks would decide the same"


def keyed_draws(count):
    """Return what the stage draws for so many documents."""
    return np.array(KeyedHash(17, "pareto").many(document_id("pages", str(n), b"") for n in range(count)), np.uint64)


def test_real_draws_on_ranks_keep_the_share_of_the_closed_form():
    count, alpha = 8_000, 3
    ranks = np.array([rank_quantile(position, count) for position in range(count)])
    share = (1 - 2 ** (1 - alpha)) / (alpha - 1)
    assert share == closed_form_share(alpha)
    kept = ParetoTable(str(alpha)).keep(keyed_draws(count), ranks).mean()
    assert abs(kept - share) < 4 * (share * (1 - share) / count) ** 0.5


@pytest.mark.parametrize(("alpha", "score"), [(3, 0), (3, 32_768), (3, 65_000), (9, 0), (9, 50_000)])
def test_real_draws_on_the_score_keep_at_its_rate(alpha, score):
    count, rate = 8_000, (2 - score / SCORE_UNITS) ** -alpha
    kept = ParetoTable(str(alpha)).keep(keyed_draws(count), np.full(count, score)).mean()
    assert abs(kept - rate) < 4 * (rate * (1 - rate) / count) ** 0.5


def test_an_existing_model_is_used_in_place_of_training(stages, config_file, store, tmp_path):
    model = f"{stages['classifier'].url}/{model_path(1)}"
    built = run_until("sample", config_file, store, f"quality.model={model}")
    assert built["classifier"].summary["folds"] == 1
    assert built["classifier"].summary["heldout"]["positives"] > 0
    before, now = decided(stages["quality"]), decided(built["quality"])
    assert {row["fold"] for row in now.values()} == {0, None}
    of_fold_1 = [identifier for identifier, row in before.items() if row["fold"] == 1]
    assert [now[identifier]["score"] for identifier in of_fold_1] == [before[i]["score"] for i in of_fold_1]
    copy = tmp_path / "copy.model"
    copy.write_bytes(read_bytes(model))
    again = run_until("quality", config_file, store, f"quality.model={copy}")
    assert again["classifier"].fingerprint == built["classifier"].fingerprint
    assert again["quality"].reused


def test_a_model_that_cannot_be_read_is_named(config_file, store, tmp_path):
    with pytest.raises(ClassifierError, match=r"missing\.model cannot be read"):
        run_until("quality", config_file, store, f"quality.model={tmp_path / 'missing.model'}")
    broken = tmp_path / "broken.model"
    broken.write_bytes(b"not a model")
    with pytest.raises(ClassifierError, match=r"broken\.model: not a quality classifier"):
        run_until("quality", config_file, store, f"quality.model={broken}")


def test_neither_classes_nor_a_model_is_refused(config_file):
    with pytest.raises(ConfigError, match="positives and negatives"):
        load_corpus_config(str(config_file), ["quality.positives=[]"])
