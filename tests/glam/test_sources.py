"""`glam sources`: every file of every source, record for record."""

import json

import pytest
from typer.testing import CliRunner

from glam.main import app

CHAT = "[10:00] <ann> hello there\n=== joe has joined\n[10:01] <ubottu> a fact\n"
CONFIG = """
name = "small"

[sources.chat]
component = "conversations"
reader = "irc"
files = ["{folder}/*.log"]

[sources.notes]
component = "web"
reader = "jsonl"
files = ["{folder}/*.jsonl", "{folder}/*.none"]

[extract]
error_budget = 0.5

[mixture]
web.weight = 0.5
conversations.weight = 0.5

[versions]
all = {{}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    (folder / "chat.log").write_text(CHAT)
    lines = ['{"text": "one"}', '{"text": " "}', '{"text": 3}', "{", '{"text": "two"}']
    (folder / "a.jsonl").write_text("\n".join(lines))
    (folder / "b.jsonl").write_text('{"text": "one"}\n')
    (folder / "empty.jsonl").touch()
    (folder / "small.toml").write_text(CONFIG.format(folder=folder))
    return folder


@pytest.fixture(scope="module")
def sources(folder):
    def run(*options):
        arguments = ["sources", str(folder / "small.toml"), "--store", str(folder / "store"), *options]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        return done

    return run


def test_each_file_tells_its_records_by_reason(sources, folder):
    answer = json.loads(sources("--json").stdout.splitlines()[-1])
    assert answer["folder"] == str(folder)
    assert answer["files_missing"] == {"notes": [f"{folder}/*.none"]}
    chat, notes = answer["sources"]
    (log,) = chat["files"]
    assert log["notes"] == {"bot_line": 1, "system_line": 1}
    assert log["raw_bytes"]["used"] == len(CHAT)
    a, b, empty = notes["files"]
    assert a["records"] == {"read": 5, "used": 2, "skipped": {"no_text": 1}, "quarantined": 2}
    assert a["quarantine"] == {"bad_fields": 1, "bad_json": 1}
    assert (a["documents"], b["documents"], empty["documents"]) == (2, 1, 0)
    assert empty["records"] == {"read": 0, "used": 0, "skipped": {}, "quarantined": 0}
    assert notes["documents"] == {"out": 2, "copies": 1}


def test_the_files_of_a_source_sum_to_its_ledger(sources):
    for source in json.loads(sources("--json").stdout.splitlines()[-1])["sources"]:
        for kind in ("records", "raw_bytes"):
            for name in ("read", "used", "quarantined"):
                assert sum(file[kind][name] for file in source["files"]) == source[kind][name]
        documents = source["documents"]
        assert sum(file["documents"] for file in source["files"]) == documents["out"] + documents["copies"]


def test_table(sources):
    short, long = (sources(*options).stdout.splitlines() for options in ((), ("--files",)))
    (notes,) = [line for line in short if line.startswith("notes ")]
    expected = ["notes", "(web,", "jsonl)", "3", "6", "3", "2", "no_text", "1,", "!bad_fields", "1,", "!bad_json", "1,"]
    assert notes.split() == [*expected, "+copies", "1"]
    assert not [line for line in short if ".jsonl" in line]
    assert [line.split()[:4] for line in long if line.startswith("  ")] == [
        ["chat.log", "1", "1", "1"],
        ["a.jsonl", "5", "2", "2"],
        ["b.jsonl", "1", "1", "1"],
        ["empty.jsonl", "0", "0", "0"],
    ]
