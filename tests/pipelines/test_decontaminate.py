"""Evaluation examples in a corpus: counted exactly for every version, removed on request, followed by the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from building import bytes_of, run_build

from pipelines.account import read_account
from pipelines.build import Build
from pipelines.contamination.results import ContaminationError, VersionContamination
from pipelines.documents import read_table
from tests.pipelines.contamination.naive import naive_documents, naive_matches
from tests.pipelines.packed_text import packed_texts_of

N = 13


def stage_of(made: Build, name: str, **recipe):
    """The one stage of this name whose recipe has these values."""
    (found,) = [
        s
        for s in made.stages
        if s.stage == name and recipe.items() <= {k: s.manifest["recipe"].get(k) for k in recipe}.items()
    ]
    return found


def documents_of(made: Build) -> Iterator[dict]:
    """Every document with its columns and those of all decisions, `job.column`."""
    decisions = {stage.stage: stage for stage in made.stages if stage.paths("decisions/")}
    for stage in made.stages:
        if stage.stage != "extract":
            continue
        for path in stage.paths("documents/"):
            table = read_table(f"{stage.url}/{path}")
            for job, decided in decisions.items():
                other = read_table(f"{decided.url}/{path.replace('documents/', 'decisions/', 1)}")
                for name in other.column_names[1:]:
                    table = table.append_column(f"{job}.{name}", other.column(name))
            yield from table.to_pylist()


def set_overrides(folder: Path, **more) -> list[str]:
    settings = {"folder": str(folder), "n": N} | more
    sets = ["files=['{folder}/task.jsonl']", "fields=['text']"]
    return [f"decontaminate.{name}={value}" for name, value in settings.items()] + [
        f"decontaminate.sets.task.{setting}" for setting in sets
    ]


@pytest.fixture(scope="module")
def folder(small_build, tmp_path_factory):
    """A set of examples: parts of training documents, of a held-out and of a dropped one, and text that is nowhere."""
    by_split: dict[str, list[str]] = {}
    for document in documents_of(small_build[0]):
        words = document["text"].split()
        if len(words) > 60:
            by_split.setdefault(str(document["holdout.split"]), []).append(" ".join(words[20:50]).upper())
    examples = by_split["train"][::9] + by_split["heldout"][:2] + by_split["None"][:3] + ["no such words " * 9, "--"]
    made = tmp_path_factory.mktemp("sets")
    (made / "task.jsonl").write_text("".join(json.dumps({"text": example}) + "\n" for example in examples))
    return made


@pytest.fixture(scope="module")
def examples(folder):
    return [json.loads(line)["text"] for line in (folder / "task.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def reported(small_config, small_build, folder):
    """The small corpus compared with the set; nothing is removed."""
    return run_build(small_config, small_build[1], overrides=set_overrides(folder))


@pytest.fixture(scope="module")
def removed(small_config, small_build, folder):
    """The small corpus without the documents that match."""
    return run_build(small_config, small_build[1], overrides=set_overrides(folder, remove="documents"))


@pytest.fixture(scope="module")
def expected(reported, examples):
    """Of each example the training documents that match it, by a naive scan."""
    documents = [d for d in documents_of(reported) if d["holdout.split"] == "train"]
    numbers = naive_documents([document["text"] for document in documents], examples, N)
    return [[documents[number] for number in own] for own in numbers]


def in_version(document: dict, name: str) -> bool:
    """Whether a training document is in a version of the small corpus."""
    if document["source"] != "pages" or name == "unfiltered":
        return True
    return bool(document["sample.keep" if name == "filtered" else "subset.random"])


def test_comparing_alone_changes_no_version(reported, small_build):
    assert bytes_of(reported) == bytes_of(small_build[0])
    computed = {stage.stage for stage in reported.stages if not stage.reused}
    assert computed == {"evaluation_ngrams", "decontaminate", "tabulate", "account"}


@pytest.mark.parametrize("name", ["filtered", "random", "unfiltered"])
def test_the_table_of_every_version_is_that_of_a_naive_scan(reported, small_build, expected, examples, name):
    contamination = VersionContamination(str(small_build[1]), reported.versions[name])
    rows = contamination.flags("task").to_pylist()
    assert [row["found"] for row in rows] == [len(documents) for documents in expected]
    inside = [[d for d in documents if in_version(d, name)] for documents in expected]
    assert [row["documents"] for row in rows] == [len(documents) for documents in inside]
    dirty = [bool(documents) for documents in inside]
    assert [row["dirty"] for row in rows] == list(contamination.by_record("task").values()) == dirty
    for row, documents in zip(rows, inside, strict=True):
        assert {shown["id"] for shown in row["shown"]} <= {document["id"] for document in documents}
        assert len(row["shown"]) == min(3, len(documents))
    figures = contamination.tasks["task"]
    assert figures == reported.versions[name].manifest["contamination"]["task"]
    assert figures["dirty"] == sum(map(bool, inside)) > 5
    assert figures["documents"] == len({d["id"] for documents in inside for d in documents})
    assert (figures["examples"], figures["without_words"], figures["n"]) == (len(examples), 1, N)
    assert contamination.examples("task").column("text").to_pylist()[0] == examples[0]


def test_a_match_tells_where_it_stands(reported, examples):
    documents = {document["id"]: document for document in documents_of(reported)}
    stage = stage_of(reported, "decontaminate")
    rows = [row for url in stage.urls("matches/") for row in read_table(url).to_pylist()]
    assert len(rows) > 20
    for row in rows:
        document = documents[row["id"]]
        ngram = document["text"][row["start"] : row["end"]]
        assert len(naive_matches(examples[row["example"]], [ngram], N)) > 0
        assert row["address"] == (document["url"] or document["native_key"] or document["title"])


def test_the_decision_counts_words_at_which_an_ngram_begins(reported, examples):
    for document in documents_of(reported):
        trained = document["holdout.split"] == "train"
        places = {place for place, _ in naive_matches(document["text"], examples, N)} if trained else None
        assert document["decontaminate.matches"] == (None if places is None else len(places))


def test_removed_documents_are_in_no_version_no_sample_and_counted(removed, expected, examples):
    gone = {document["id"] for documents in expected for document in documents}
    for version in removed.versions.values():
        for component in version.components:
            packed = packed_texts_of(version, component)
            assert not gone & set(packed)
            assert all(naive_matches(text, examples, N) == [] for text in packed.values())
    for name in ("tokenizer", "classifier"):
        sample = read_table(f"{stage_of(removed, name).url}/train_sample.parquet", ["id"])
        assert not gone & set(sample.column("id").to_pylist())
        assert sample.num_rows > 50
    dropped = sum(entry["dropped"].get("contaminated", 0) for entry in removed.to_json()["documents"].values())
    assert dropped == len(gone) > 10
    account = read_account(stage_of(removed, "account"))
    for source, jobs in account.items():
        for measure in ("documents", "bytes", "tokens"):
            balance = jobs["decontaminate"][measure]
            assert balance["in"] == balance["out"] + sum(balance["dropped"].values()), source


def test_after_removal_the_versions_are_clean_and_what_was_found_is_still_told(removed, reported, small_build):
    for name, version in removed.versions.items():
        figures = VersionContamination(str(small_build[1]), version).tasks["task"]
        before = reported.versions[name].manifest["contamination"]["task"]
        assert (figures["dirty"], figures["documents"]) == (0, 0)
        assert figures["found"] == before["found"] > 0
        assert version.id != reported.versions[name].id


def test_spans_are_cut_before_tokenizer_classifier_and_scores_see_a_text(small_config, small_build, folder, examples):
    spans = set_overrides(folder, remove="spans", window_characters=0, piece_characters=1)
    made = run_build(small_config, small_build[1], overrides=spans)
    for name in ("tokenizer", "classifier"):
        texts = read_table(f"{stage_of(made, name).url}/train_sample.parquet", ["text"]).column("text").to_pylist()
        assert len(texts) > 50
        assert all(naive_matches(text, examples, N) == [] for text in texts)
    for version in made.versions.values():
        for component in version.components:
            texts = packed_texts_of(version, component).values()
            assert all(naive_matches(text, examples, N) == [] for text in texts)
    assert "training" in stage_of(made, "quality").manifest["inputs"]
    rows = [document for document in documents_of(made) if document["decontaminate.spans"]]
    account = read_account(stage_of(made, "account"))
    cut = sum(jobs["decontaminate"]["bytes"]["dropped"].get("contaminated_spans", 0) for jobs in account.values())
    assert cut == sum(len(row["text"].encode()) - row["decontaminate.text_bytes"] for row in rows) > 1000


def test_a_version_that_was_not_compared_says_what_to_do(small_build):
    made, store = small_build
    with pytest.raises(ContaminationError, match=r"decontaminate\.folder"):
        VersionContamination(str(store), made.versions["filtered"])
