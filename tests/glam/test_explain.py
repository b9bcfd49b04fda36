"""`glam explain` and `glam trace` on the small corpus: what they print, and that nothing heavy is loaded for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from building import copy_store

from pipelines import lookup
from pipelines.documents import read_table
from pipelines.lookup import VersionDocuments
from pipelines.store.errors import GlamError
from pipelines.store.files import write_bytes
from pipelines.store.hashing import part_name, shard_of
from tests.glam.running import answer, run
from trainer.config import TrainingConfig
from trainer.data import TrainingData
from trainer.run_folder import open_run

ROOT = Path(__file__).resolve().parents[2]
EVENT = {"number": 1, "reason": "spike", "step": 7, "to_step": 5, "passed": 2, "deviations": 9.0}


@pytest.fixture(scope="module")
def store(small_build, tmp_path_factory):
    return copy_store(*small_build, tmp_path_factory.mktemp("explain") / "store")


@pytest.fixture(scope="module")
def training(small_build, store):
    """The folder of a run in the store that went back once, as `glam train` leaves it."""
    made, _ = small_build
    config = TrainingConfig.model_validate(
        {"version": "filtered", "mixture": {"web": 0.9, "news": 0.1}, "training": {"steps": 40, "batch_rows": 6}}
    )
    folder = store / "runs" / "0123456789abcdef"
    open_run(str(folder), made.versions["filtered"], config, 3)
    write_bytes(str(folder / "events.jsonl"), json.dumps({"event": "roll_back", **EVENT}).encode() + b"\n")
    return folder


def an_id(small_build, verdict_column, wanted, source="pages"):
    made, store = small_build
    documents = VersionDocuments(str(store), made.versions["filtered"])
    job, column = verdict_column
    for shard in range(documents.count(source)):
        for batch in documents.batches(source, shard, ("url",), {job: (column,)}):
            verdicts = batch[f"{job}.{column}"].to_pylist()
            if wanted in verdicts:
                row = verdicts.index(wanted)
                return batch["id"][row].as_py().hex(), batch["url"][row].as_py()
    raise AssertionError("there is none")


def test_a_kept_page_is_followed_from_its_file_into_its_records(small_build, store, training):
    identifier, url = an_id(small_build, ("sample", "keep"), True)
    explained = answer("explain", "filtered", url, "--store", store, "--budget", "1M")
    (document,) = explained["documents"]
    assert (document["id"], document["verdict"], document["dropped_at"]) == (identifier, "train", None)
    assert [step["step"] for step in document["steps"]] == [
        "extract", "deduplicate", "holdout", "quality", "sample", "mix", "pack",
    ]  # fmt: skip
    available = small_build[0].versions["filtered"].components["web"].tokens
    asked, by_run = document["steps"][5]["epochs"]
    assert (asked["budget"], asked["epochs"]) == (1_000_000, pytest.approx(0.5 * 1_000_000 / available))
    assert (by_run["of"], by_run["epochs"]) == ([str(training)], pytest.approx(0.9 * 40 * 6 * 64 / available))
    for segment in document["steps"][6]["segments"]:
        place = ("--shard", segment["shard"], "--record", segment["record"])
        (row,) = answer("trace", "filtered", *place, "--store", store)["rows"]
        assert identifier in {part["id"] for part in row["documents"]}


def test_words_say_where_a_document_was_dropped(small_build, store):
    identifier, url = an_id(small_build, ("sample", "keep"), False)
    said = run("explain", "filtered", identifier[:12], "--store", store)
    assert said.startswith(f"{identifier}  pages  {url}")
    assert "sample        dropped: U = " in said
    assert said.rstrip().endswith("= dropped by sample: pareto")
    held, _ = an_id(small_build, ("holdout", "split"), "heldout")
    assert "held out (heldout): never trained on" in run("explain", "filtered", held, "--store", store)


def test_a_page_that_extraction_skipped_is_told_with_its_file_and_reason(small_build, store):
    documents = VersionDocuments(str(store), small_build[0].versions["filtered"])
    url = next(url for url in (f"http://page{n}.example/" for n in range(160)) if not documents.find(url))
    explained = answer("explain", "filtered", url, "--store", store)
    assert explained["documents"] == []
    (record,) = explained["left_out"]
    said = run("explain", "filtered", url, "--store", store)
    assert f"no document; the record was left out as {record['reason']}" in said
    with pytest.raises(GlamError, match="no document of version filtered has this URL"):
        run("explain", "filtered", "http://nobody.example/", "--store", store)


def test_a_step_is_traced_to_its_documents_through_a_roll_back(small_build, store, training):
    made, _ = small_build
    data = TrainingData(made.versions["filtered"], 6, 3, {"web": 0.9, "news": 0.1})
    for step, batch, undone in ((5, 4, []), (6, 7, [5]), (7, 8, [6]), (8, 9, []), (40, 41, [])):
        traced = answer("trace", "01234567", "--step", step, "--store", store)
        assert (traced["batch"], traced["passed_over"]) == (batch, undone)
        for row, record in zip(traced["rows"], data.records(batch), strict=True):
            assert [part["id"] for part in row["documents"]] == [i.hex() for i in record.document_ids]
    said = run("trace", training, "--step", 6, "--store", store)
    assert "update 6 reads batch 7" in said
    assert "updates of this number read batch 5; that is undone" in said
    with pytest.raises(GlamError, match="is no run's folder, nor its id"):
        run("trace", "ffffffff", "--step", 1, "--store", store)
    with pytest.raises(GlamError, match="give RUN and --step N, or"):
        run("trace", training, "--store", store)


def test_an_id_names_its_shard_and_no_other_documents_are_read(small_build, store, monkeypatch):
    identifier, url = an_id(small_build, ("sample", "keep"), True)
    read = []
    monkeypatch.setattr(lookup, "read_table", lambda path, *columns: read.append(path) or read_table(path, *columns))

    def tables_read(document):
        read.clear()
        assert answer("explain", "filtered", document, "--store", store)["documents"][0]["id"] == identifier
        return {
            (kind, path.name) for path in map(Path, read) for kind in ("documents", "left_out") if kind in path.parts
        }

    names = [part_name(number, 2, ".parquet") for number in range(2)]
    assert tables_read(identifier) == {("documents", names[shard_of(bytes.fromhex(identifier), 2)])}
    assert {("documents", name) for name in names} < tables_read(url)


def test_neither_beam_nor_jax_nor_tensorflow_is_loaded(small_build, store, training):
    _, url = an_id(small_build, ("sample", "keep"), True)
    explain, trace = ["explain", "filtered", url], ["trace", str(training), "--step", "3"]
    code = f"""
import sys
from typer.testing import CliRunner
from glam.main import app
for command in {[explain, trace]!r}:
    assert not CliRunner().invoke(app, [*command, "--store", {str(store)!r}]).exit_code
heavy = {{"tensorflow", "apache_beam", "jax", "flax", "fasttext", "sentencepiece"}}
print(heavy & set(sys.modules) or "none")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "none"
