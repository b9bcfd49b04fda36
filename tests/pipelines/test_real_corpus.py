"""A whole folder of native formats through configs/corpus.toml: every ledger balances, TensorFlow reads the shards."""

import os
from pathlib import Path

import pytest

from pipelines.build import build
from pipelines.config import load_corpus_config
from pipelines.progress import SilentDisplay
from pipelines.store.versions import verify_version

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "corpus.toml"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The build of the real corpus: all sources, a short classifier training and a small vocabulary to save time."""
    corpus = os.environ.get("GLAM_CORPUS")
    if not corpus:
        pytest.skip("GLAM_CORPUS is not set: no real crawl and dump files")
    quick = ["quality.classifier.epochs=2", "quality.classifier.folds=2", "tokenizer.vocabulary_size=4096"]
    config = load_corpus_config(str(CONFIG), [f"data={corpus}", "tokenizer.sample_bytes=2000000", *quick])
    return build(config, str(tmp_path_factory.mktemp("real")), [], SilentDisplay())


def test_every_source_is_read_and_every_ledger_balances(made):
    answer = made.to_json()
    assert set(answer["records"]) == set(load_corpus_config(str(CONFIG), []).sources)
    for source, records in answer["records"].items():
        accounted = records["used"] + sum(records["skipped"].values()) + records["quarantined"]
        assert records["read"] == accounted > 0, source
        documents = answer["documents"][source]
        assert documents["in"] == documents["out"] + sum(documents["dropped"].values()), source
    assert answer["records"]["gutenberg"]["read"] == 62
    assert answer["records"]["wikipedia"]["read"] == 296
    assert answer["records"]["bbc"]["read"] == 1908


def test_the_versions_are_sound_and_differ_in_web_alone(made):
    for version in made.versions.values():
        assert verify_version(version) == []
    filtered, random, everything = (made.versions[name] for name in ("filtered", "random", "unfiltered"))
    assert filtered.components["web"].tokens < everything.components["web"].tokens
    assert 0 <= random.components["web"].tokens - filtered.components["web"].tokens < 200_000
    for name in ("wikipedia", "books", "news"):
        assert filtered.components[name].tokens == everything.components[name].tokens


def test_tf_data_reads_the_shards(made):
    import tensorflow as tf

    version = made.versions["filtered"]
    for component in version.components.values():
        assert sum(1 for _ in tf.data.TFRecordDataset(list(component.shards))) == component.records


def test_real_near_duplicates_and_languages_are_dropped_by_reason(made):
    dropped = made.to_json()["documents"]["pages"]["dropped"]
    assert dropped["near_duplicate"] > 100
    assert dropped["language"] > 1000
