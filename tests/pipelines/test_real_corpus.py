"""A whole folder of native formats through configs/corpus.toml: every ledger balances, TensorFlow reads the shards."""

import bz2
import gzip
import json
import os
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from pipelines.build import build
from pipelines.config import load_corpus_config
from pipelines.input_files import read_file_figures
from pipelines.progress import SilentDisplay
from pipelines.store.verification import verify_version

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


@pytest.fixture(scope="module")
def files(made):
    """What extraction says of every input file, by its path in the corpus."""
    figures = (entry for stage in made.stages if stage.stage == "extract" for entry in read_file_figures(stage))
    return {str(Path(entry["path"]).relative_to(os.environ["GLAM_CORPUS"])): entry for entry in figures}


def test_every_ledger_balances(made):
    answer = made.to_json()
    assert set(answer["records"]) == set(made.config.sources) == set(load_corpus_config(str(CONFIG)).sources)
    for source, records in answer["records"].items():
        accounted = records["used"] + sum(records["skipped"].values()) + records["quarantined"]
        assert records["read"] == accounted > 0, source
        documents = answer["documents"][source]
        assert documents["in"] == documents["out"] + sum(documents["dropped"].values()), source


def test_every_file_that_holds_text_is_read(files):
    corpus = Path(os.environ["GLAM_CORPUS"])
    held = {str(path.relative_to(corpus)) for path in corpus.rglob("*") if path.is_file()}
    metadata = {"README.md", "MANIFEST.json", "web/index.jsonl.gz", "web/crawl-samples/whirlwind.warc.wat.gz"}
    gold = {name for name in held if name.startswith("web/gold_")}
    assert set(files) == held - metadata - gold
    for name, entry in files.items():
        for kind in ("records", "raw_bytes"):
            counts = entry[kind]
            assert counts["read"] == counts["used"] + sum(counts["skipped"].values()) + counts["quarantined"], name
        assert entry["documents"] > 0 or name.startswith("wikipedia/"), name  # one piece of Wikipedia is a redirect


def content(name: str) -> bytes:
    path = Path(os.environ["GLAM_CORPUS"]) / name
    return {".gz": gzip.decompress, ".bz2": bz2.decompress}.get(path.suffix, bytes)(path.read_bytes())


def test_records_are_those_of_an_independent_count(files):
    counts: Counter[str] = Counter()
    for line in content("web/index.jsonl.gz").splitlines():
        counts[f"web/{json.loads(line)['warc']}"] += 1
    for name in list(counts):
        counts[name] += 1  # the record that describes the file
    for name in files:
        if name.startswith("wikipedia/") and "bgwiki-latest" not in name:  # that one is in UTF-16
            counts[name] = content(name).count(b"<page>")
        elif name.startswith("books/"):
            counts[name] = 1
        elif name.startswith(("conversations/schema-guided", "conversations/taskmaster", "conversations/topical")):
            counts[name] = len(json.loads(content(name)))
        elif name.startswith("news/reuters"):
            counts[name] = content(name).count(b"<REUTERS ")
        elif name.endswith("Posts.xml.bz2"):
            counts[name] = content(name).count(b"<row ")
        elif name.endswith("bbc-articles.zip"):
            with zipfile.ZipFile(Path(os.environ["GLAM_CORPUS"]) / name) as archive:
                counts[name] = sum(not member.is_dir() for member in archive.infolist())
    assert len(counts) > 150
    assert {name: files[name]["records"]["read"] for name in counts} == counts


def test_no_more_is_quarantined_than_three_spam_mails(files):
    assert Counter(name for name, entry in files.items() for _ in range(entry["records"]["quarantined"])) == {
        "forums/mail/spam-1.mbox.gz": 3
    }


def test_the_versions_are_sound_and_differ_in_web_alone(made):
    for version in made.versions.values():
        assert verify_version(version) == []
    filtered, random, everything = (made.versions[name] for name in ("filtered", "random", "unfiltered"))
    assert filtered.components["web"].tokens < everything.components["web"].tokens
    assert 0 <= random.components["web"].tokens - filtered.components["web"].tokens < 200_000
    for name in ("wikipedia", "books", "news", "conversations", "forums"):
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
