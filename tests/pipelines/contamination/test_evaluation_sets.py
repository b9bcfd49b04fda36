"""Evaluation sets: which text of an example is compared, and how a set that cannot be used is refused."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
import zstandard

from pipelines.config import load_corpus_config
from pipelines.contamination.evaluation_records import EvaluationSetError, read_records
from pipelines.contamination.evaluation_sets import find_sets, read_examples
from pipelines.contamination.settings import DecontaminateSettings, EvaluationSets
from pipelines.store.configuration import ConfigError, load_settings

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
LINES = [
    {"question": "Who?", "answers": {"aliases": ["He", "him"], "n": 1}, "turns": [{"q": "a"}, {"q": "b"}, {}]},
    {"question": "e\u0301\r\nx ", "answers": {"aliases": [], "n": 2}, "turns": []},
]


def write(path: Path, lines: list, compress=bytes) -> str:
    path.write_bytes(compress("".join(json.dumps(line) + "\n\n" for line in lines).encode()))
    return str(path)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.compress])
def test_the_text_is_the_fields_in_order(tmp_path, compress):
    url = write(tmp_path / "set.jsonl", LINES, compress)
    fields = ["answers.aliases.*", "question", "turns.*.q", "answers.n"]
    examples = list(read_examples("task", [url], fields))
    assert [example.text for example in examples] == ["He\nhim\nWho?\na\nb\n1", "é\nx\n2"]
    assert [(example.file, example.line) for example in examples] == [("set.jsonl", 1), ("set.jsonl", 3)]


def test_a_field_that_no_example_has_is_refused_with_the_keys_there_are(tmp_path):
    url = write(tmp_path / "set.jsonl", LINES)
    with pytest.raises(EvaluationSetError, match=r"sets\.task: .* under passage; .* answers, question, turns"):
        list(read_examples("task", [url], ["question", "passage"]))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"question": "a"}\n{"question": \n', "line 2: not JSON"),
        (b'{"question": "\xff"}\n', "line 1: not JSON"),
        (b"[1]\n", "line 1: no JSON object"),
        (gzip.compress(json.dumps(LINES).encode() * 100)[:-20], "line 1: the file ends inside"),
    ],
)
def test_a_damaged_set_is_refused_by_file_and_line(tmp_path, content, problem):
    path = tmp_path / "set.jsonl"
    path.write_bytes(content)
    with pytest.raises(EvaluationSetError, match=f"set.jsonl: {problem}"):
        list(read_examples("task", [str(path)], ["question"]))


def test_sets_without_files_are_told_and_a_wrong_folder_is_refused(tmp_path):
    sets = {name: {"files": [f"{{folder}}/{name}.jsonl*"], "fields": ["question"]} for name in ("here", "missing")}
    write(tmp_path / "here.jsonl.gz", LINES, gzip.compress)
    found = find_sets(DecontaminateSettings(folder=str(tmp_path), sets=sets))
    assert found == {"here": [str(tmp_path / "here.jsonl.gz")], "missing": []}
    assert find_sets(DecontaminateSettings(sets=sets)) == {"here": [], "missing": []}
    with pytest.raises(EvaluationSetError, match="no file of any evaluation set"):
        find_sets(DecontaminateSettings(folder=str(tmp_path / "other"), sets=sets))


def test_sets_of_a_file_are_found_beside_the_configuration_and_may_be_replaced(tmp_path):
    minimal = '[sources.a]\ncomponent = "web"\nreader = "jsonl"\nfiles = ["a"]\n[mixture]\nweb.weight = 1\n'
    minimal = 'name = "c"\n' + minimal + "[versions]\nv = {}\n[decontaminate]\nsets_file = 'sets.toml'\n"
    (tmp_path / "corpus.toml").write_text(minimal)
    (tmp_path / "sets.toml").write_text(
        '[sets.a]\nfiles = ["a"]\nfields = ["x"]\n[sets.b]\nfiles = ["b"]\nfields = ["x"]'
    )
    changes = ["decontaminate.sets.b.files=['c']", "decontaminate.sets.b.fields=['y.z']", "decontaminate.n=gpt3"]
    settings = load_corpus_config(str(tmp_path / "corpus.toml"), changes).decontaminate
    assert {name: entry.fields for name, entry in settings.sets.items()} == {"a": ["x"], "b": ["y.z"]}
    assert settings.n == "gpt3"
    (tmp_path / "sets.toml").write_text("[sets.a]\nfiles = []\nfields = ['x']")
    with pytest.raises(ConfigError, match=r"sets\.toml: sets\.a\.files"):
        load_corpus_config(str(tmp_path / "corpus.toml"))
    with pytest.raises(ConfigError, match=r"decontaminate\.n"):
        load_corpus_config(str(tmp_path / "corpus.toml"), ["decontaminate.n=0"])


def test_the_field_maps_that_come_with_the_program_fit_the_native_files():
    folder = os.environ.get("GLAM_EVAL")
    if not folder:
        pytest.skip("GLAM_EVAL is not set: no native evaluation sets")
    sets = load_settings(EvaluationSets, str(CONFIGS / "evaluation" / "sets.toml")).sets
    found = find_sets(DecontaminateSettings(folder=folder, sets=sets))
    assert {task for task, files in found.items() if not files} == {
        "quac",
        "storycloze",
        "stereoset_intersentence",
        "stereoset_intrasentence",
    }
    used = {Path(url).name for files in found.values() for url in files}
    native = {path.name for path in Path(folder).glob("*.jsonl.gz") if ".fewshot." not in path.name}
    assert used == native
    for task, files in found.items():
        examples = list(read_examples(task, files, sets[task].fields, sets[task].records))
        assert all(example.text for example in examples), task


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_sets_are_read_in_their_published_formats(tmp_path, compress):
    document = {
        "version": "1",
        "data": [{"title": "a", "qas": [{"question": "Who?"}, {"question": "He?"}]}, {"qas": []}],
    }
    tables = {
        "t.json": json.dumps(document).encode(),
        "t.csv": b'id,"first, second"\r\n1,"two\nlines, a comma"\r\n\r\n2,x\r\n',
        "t.tsv": b"id\tfirst, second\n1\t\xc3\xa9 b\n",
    }
    for name, content in tables.items():
        (tmp_path / f"{name}.gz").write_bytes(compress(content))
    files = {name: str(tmp_path / f"{name}.gz") for name in tables}
    read = [(number, len(record["qas"])) for number, record in read_records(files["t.json"], "data.*")]
    assert read == [(1, 2), (2, 0)]
    texts = [example.text for example in read_examples("t", [files["t.json"]], ["title", "qas.*.question"], "data.*")]
    assert texts == ["a\nWho?\nHe?", ""]
    rows = [(3, {"id": "1", "first, second": "two\nlines, a comma"}), (5, {"id": "2", "first, second": "x"})]
    assert list(read_records(files["t.csv"])) == rows
    assert list(read_records(files["t.tsv"])) == [(2, {"id": "1", "first, second": "é b"})]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("t.csv", b"a,b\n1,2\n1\n", "line 3: 1 cells, the first row names 2"),
        ("t.csv", b"a,b\n\xff,2\n", "not UTF-8"),
        ("t.json", b'{"data": [1]}', "line 1: no JSON object"),
        ("t.json", b'{"data": [', "line 1: not JSON"),
    ],
)
def test_a_table_or_document_that_is_damaged_is_refused(tmp_path, name, content, problem):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(EvaluationSetError, match=f"{name}: {problem}"):
        list(read_records(str(path), "data.*"))
