"""`glam sample`, `export` and `diff` on the small corpus; the Croissant cards as Croissant's own library reads them."""

from __future__ import annotations

import json
import warnings

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from building import copy_store

from pipelines.store.errors import GlamError
from pipelines.store.files import digest_file
from pipelines.store.hashing import KeyedHash
from tests.glam.running import answer, run
from tests.pipelines.test_explanation import verdicts_of


@pytest.fixture(scope="module")
def store(small_build, tmp_path_factory):
    return copy_store(*small_build, tmp_path_factory.mktemp("export") / "store")


@pytest.fixture(scope="module")
def exported(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    for form in ("parquet", "jsonl"):
        told = answer("export", "filtered", "--format", form, "--out", folder / form, "--store", store)
        assert told["files"] == len(list((folder / form / "data").rglob(f"*.{form}")))
    return folder


def rows_of(folder):
    return pa.concat_tables(pq.read_table(path) for path in sorted((folder / "parquet" / "data").rglob("*.parquet")))


def test_every_kept_document_is_exported_with_text_and_verdicts(small_build, store, exported):
    made, _ = small_build
    rows = {(row["source"], bytes.fromhex(row["id"])): row for row in rows_of(exported).to_pylist()}
    judged = verdicts_of(made, store, "filtered")
    kept = {key: value for key, value in judged.items() if value[1]}
    assert {key: (row["split"], row["tokens"]) for key, row in rows.items()} == kept
    for row in rows.values():
        assert (row["quality_score"] is not None) == (row["component"] == "web")
        assert row["text"]
        assert row["licence"] == "unknown"


def test_json_lines_say_the_same_as_parquet(exported):
    lines = [
        json.loads(line)
        for path in sorted((exported / "jsonl" / "data").rglob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    assert lines == rows_of(exported).to_pylist()


def test_croissants_own_library_validates_the_card_and_reads_the_documents(exported):
    import mlcroissant

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lines = mlcroissant.Dataset(jsonld=str(exported / "jsonl" / "croissant.json"))
        assert not lines.metadata.ctx.issues.errors
        dataset = mlcroissant.Dataset(jsonld=str(exported / "parquet" / "croissant.json"))
        assert not dataset.metadata.ctx.issues.errors
        found = list(dataset.records("documents"))
    texts = {record["documents/id"].decode(): record["documents/text"].decode() for record in found}
    assert texts == {row["id"]: row["text"] for row in rows_of(exported).to_pylist()}


def test_the_card_of_a_version_validates_and_names_every_file_with_its_hash(small_build, store, tmp_path):
    import mlcroissant

    version = small_build[0].versions["filtered"]
    path = tmp_path / "card.json"
    run("export", "filtered", "--card", "croissant", "--out", path, "--store", store)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert not mlcroissant.Dataset(jsonld=str(path)).metadata.ctx.issues.errors
    files = {entry["contentUrl"]: entry["sha256"] for entry in json.loads(path.read_text())["distribution"]}
    assert files == {entry["path"]: entry["sha256"] for entry in version.manifest["files"]}


def test_the_files_of_an_export_have_the_hashes_of_its_card(exported):
    card = json.loads((exported / "parquet" / "croissant.json").read_text())
    for entry in card["distribution"]:
        if "sha256" in entry:
            assert digest_file(str(exported / "parquet" / entry["contentUrl"])).sha256 == entry["sha256"]


def test_the_readme_has_the_hubs_front_matter_and_the_figures(small_build, store, exported):
    version = small_build[0].versions["filtered"]
    text = (exported / "parquet" / "README.md").read_text()
    _, head, body = text.split("---\n", 2)
    front = yaml.safe_load(head)
    assert front["language"] == ["en"]
    assert front["configs"][0]["data_files"][0] == {"split": "train", "path": "data/train/*/*.parquet"}
    assert list((exported / "parquet").glob("data/train/*/*.parquet"))
    assert f"| web | filtered | 0.5 | {version.components['web'].documents:,} |" in body
    assert f"pareto {version.manifest['ledger']['pages']['documents']['dropped']['pareto']:,}" in body
    assert version.id in body
    printed = run("export", "filtered", "--card", "readme", "--store", store)
    assert "configs" not in yaml.safe_load(printed.split("---\n", 2)[1])


def test_an_export_into_a_folder_with_files_or_without_a_folder_is_refused(store, exported):
    with pytest.raises(GlamError, match="there are files in it; give a new or empty folder"):
        run("export", "filtered", "--format", "jsonl", "--out", exported / "jsonl", "--store", store)
    with pytest.raises(GlamError, match="give --out FOLDER"):
        run("export", "filtered", "--format", "jsonl", "--store", store)
    with pytest.raises(GlamError, match="give --card croissant or readme, or --format"):
        run("export", "filtered", "--store", store)


def test_a_card_is_written_into_a_new_folder_and_what_is_in_its_place_is_told(store, tmp_path):
    path = tmp_path / "new" / "folder" / "README.md"
    printed = run("export", "filtered", "--card", "readme", "--store", store)
    assert run("export", "filtered", "--card", "readme", "--out", path, "--store", store) == f"{path}\n"
    assert path.read_text() == printed
    (tmp_path / "file").write_text("kept")
    for place in (tmp_path, tmp_path / "file" / "README.md"):
        with pytest.raises(GlamError, match=f"{place}: cannot be written"):
            run("export", "filtered", "--card", "readme", "--out", place, "--store", store)
    assert (tmp_path / "file").read_text() == "kept"


def test_a_sample_is_the_documents_of_the_least_keyed_hashes(small_build, store, exported):
    draw = KeyedHash(5, "sample")
    rows = [r for r in rows_of(exported).to_pylist() if (r["component"], r["split"]) == ("books", "train")]
    expected = sorted(rows, key=lambda row: draw(bytes.fromhex(row["id"])))[:4]
    command = ("sample", "filtered", "--component", "books", "-n", 4, "--seed", 5, "--store", store)
    assert answer(*command)["documents"] == expected
    assert expected[0]["id"] in run(*command)
    held = answer("sample", "filtered", "--heldout", "-n", 1000, "--store", store)["documents"]
    assert {row["split"] for row in held} == {"heldout", "out_of_domain"}
    assert len(held) == sum(part.documents for part in small_build[0].versions["filtered"].heldout.values())
    with pytest.raises(GlamError, match="--component none: version filtered has books, news, web"):
        run("sample", "filtered", "--component", "none", "--store", store)


def test_a_difference_is_told_in_words(small_build, store):
    said = run("diff", "unfiltered", "filtered", "--store", store)
    dropped = small_build[0].versions["filtered"].manifest["ledger"]["pages"]["documents"]["dropped"]["pareto"]
    assert f"lost of pages, in b it is pareto: {dropped:,} documents, " in said
    assert 'variants.web: "all" -> "filtered"' in said
    assert "the same version" in run("diff", "random", "random", "--store", store)
