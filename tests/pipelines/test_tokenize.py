"""The tokenizer's sample follows the mixture, an existing model is taken as it is, and bytes a token are told."""

from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.build import build
from pipelines.collect import SAMPLE_SCHEMA, cut_to_quotas
from pipelines.config import load_corpus_config
from pipelines.documents import read_table
from pipelines.progress import SilentDisplay
from pipelines.store.files import digest_file
from pipelines.tokenize import MODEL_PATH, TokenizerError


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return str(tmp_path_factory.mktemp("tokenize"))


@pytest.fixture(scope="module")
def made(small_config, store):
    """The small corpus up to its tokens; the sample is as large as the web pages allow."""
    return build_to_tokens(small_config, store)


def build_to_tokens(config, store, *overrides):
    overrides = ("tokenizer.sample_bytes=140000", *overrides)
    return build(load_corpus_config(str(config), overrides), str(store), [], SilentDisplay(), until="tokenize")


def stage_of(made, name):
    (stage,) = [stage for stage in made.stages if stage.stage == name]
    return stage


def test_each_component_has_its_weights_share_of_the_sample(made):
    stage = stage_of(made, "tokenizer")
    sample = stage.summary["sample"]
    assert {name: entry["asked"] for name, entry in sample.items()} == {"books": 42_000, "news": 28_000, "web": 70_000}
    for entry in sample.values():
        assert entry["asked"] - 3 <= entry["bytes"] <= entry["asked"]
    texts = read_table(f"{stage.url}/train_sample.parquet", ["text"]).column("text").to_pylist()
    assert sum(len(text.encode()) for text in texts) == sum(entry["bytes"] for entry in sample.values())


def rows(label, *texts):
    return [
        {"label": label, "source": "s", "id": bytes(16), "key": number, "text": text}
        for number, text in enumerate(texts)
    ]


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        (100, ["abc", "déf", "ghi"]),
        (10, ["abc", "déf", "ghi"]),
        (8, ["abc", "déf", "g"]),
        (7, ["abc", "déf"]),
        (5, ["abc", "d"]),  # é does not fit
        (3, ["abc"]),
        (0, []),
    ],
)
def test_a_sample_is_cut_to_its_quota_and_never_within_a_character(quota, expected):
    sample = pa.Table.from_pylist(rows("web", "abc", "déf", "ghi") + rows("news", "whole"), SAMPLE_SCHEMA)
    cut = cut_to_quotas(sample, {"web": quota})
    texts = {label: [] for label in ("web", "news")}
    for row in cut.to_pylist():
        texts[row["label"]].append(row["text"])
    assert texts == {"web": expected, "news": ["whole"]}


def test_an_empty_sample_stays_empty():
    assert cut_to_quotas(SAMPLE_SCHEMA.empty_table(), {"web": 5}).num_rows == 0


def test_bytes_and_tokens_are_told_by_source(made):
    encoded = stage_of(made, "tokenize")
    extracted = {stage.manifest["recipe"]["source"]: stage for stage in made.stages if stage.stage == "extract"}
    assert set(made.encoded()) == set(extracted)
    for source, told in made.encoded().items():
        counts, sizes = [], []
        for documents, decisions in zip(
            extracted[source].urls("documents/"), encoded.urls(f"decisions/{source}/"), strict=True
        ):
            counts += read_table(decisions, ["count"]).column("count").to_pylist()
            sizes += read_table(documents, ["text_bytes"]).column("text_bytes").to_pylist()
        kept = [(count, size) for count, size in zip(counts, sizes, strict=True) if count is not None]
        assert told["documents"] == len(kept) > 0
        assert (told["tokens"], told["bytes"]) == tuple(map(sum, zip(*kept, strict=True)))


def test_an_existing_model_is_taken_as_it_is(small_config, made, store, tmp_path):
    (trained,) = stage_of(made, "tokenizer").urls(MODEL_PATH)
    model = tmp_path / "mine.model"
    model.write_bytes(Path(trained).read_bytes())
    again = build_to_tokens(small_config, store, f"tokenizer.model='{model}'")
    taken = stage_of(again, "tokenizer")
    assert not taken.reused
    assert digest_file(taken.urls(MODEL_PATH)[0]) == digest_file(str(model))
    assert taken.summary["sample"] == {}
    assert again.encoded() == made.encoded()


@pytest.mark.usefixtures("made")
def test_a_file_that_is_no_model_is_refused_by_name(small_config, store, tmp_path):
    (tmp_path / "mine.model").write_bytes(b"\xff\xff no model")
    with pytest.raises(TokenizerError, match=r"mine\.model: not a SentencePiece model"):
        build_to_tokens(small_config, store, f"tokenizer.model='{tmp_path}/mine.model'")
    with pytest.raises(TokenizerError, match=r"tokenizer\.model: .*none\.model cannot be read \(No such file"):
        build_to_tokens(small_config, store, f"tokenizer.model='{tmp_path}/none.model'")


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_too_large_a_vocabulary_for_the_sample_is_refused_with_what_would_do(small_config, store, kind):
    message = r"tokenizer: vocabulary_size = 256000 .* use \d+ or less, or .* more text"
    with pytest.raises(TokenizerError, match=message):
        build_to_tokens(small_config, store, "tokenizer.vocabulary_size=256000", f"tokenizer.model_type={kind}")
