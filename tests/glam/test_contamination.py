"""`glam contamination` on made pages: the table, the examples, and what to do where nothing was compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from glam.main import app
from pipelines.store.errors import GlamError
from tests.pipelines.contamination.made import CLEAN, EXAMPLES, build_made, write

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def glam(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A function that runs the command, or another, on a store of one version."""
    folder: Path = tmp_path_factory.mktemp("contamination")
    write(folder)
    build_made(folder)
    return lambda *options, command="contamination": CliRunner().invoke(
        app, [command, "all", "--store", str(folder / "store"), *options], catch_exceptions=False
    )


def test_the_table_counts_clean_and_dirty_examples(glam: Run) -> None:
    answer = json.loads(glam("--json").stdout)
    task = answer["tasks"]["task"]
    assert (task["examples"], task["clean"], task["dirty"], task["documents"]) == (len(EXAMPLES), CLEAN, 3, 4)
    assert task["dirty_share"] == round(3 / len(EXAMPLES), 6)
    assert answer["tasks"]["absent"]["dirty_share"] is None
    assert (answer["n"], answer["remove"], answer["ignore_frequent"]) == (13, "nothing", None)


def test_people_read_the_same_in_a_table(glam: Run) -> None:
    lines = {line.split()[0]: line.split()[1:] for line in glam().stdout.splitlines() if line.split()}
    assert lines["task"] == ["13", str(len(EXAMPLES)), str(CLEAN), "3", f"{300 / len(EXAMPLES):.1f}", "4", "3"]
    assert lines["absent"] == ["no", "data"]


def test_dirty_examples_are_shown_with_what_they_share_and_where(glam: Run) -> None:
    shown = json.loads(glam("--task", "task", "--json").stdout)["shown"]
    assert [example["line"] for example in shown] == [CLEAN + 1, CLEAN + 2, CLEAN + 3]
    (last,) = shown[2:]
    assert last["documents"] == 2
    assert {match["address"] for match in last["matches"]} == {"http://site3.example/", "http://site4.example/"}
    assert {match["shared"] for match in last["matches"]} == {" ".join(EXAMPLES[-1].split()[:13])}
    printed = glam("--task", "task", "--examples", "1").stdout
    assert "3 of 8 examples are dirty in all" in printed
    assert "http://site6.example/" in printed
    assert "site3" not in printed


def test_a_task_without_dirty_examples_shows_none(glam: Run) -> None:
    assert json.loads(glam("--task", "absent", "--json").stdout)["shown"] == []
    assert "0 of 0 examples are dirty in all" in glam("--task", "absent").stdout


def test_an_unknown_task_is_answered_with_those_there_are(glam: Run) -> None:
    with pytest.raises(GlamError, match="no such task; version all has absent, task"):
        glam("--task", "other")


def test_a_document_is_explained_with_the_examples_that_it_shares_text_with(glam: Run) -> None:
    (match, *_) = json.loads(glam("--task", "task", "--json").stdout)["shown"][0]["matches"]
    explained = json.loads(glam(match["document"], "--json", command="explain").stdout)
    (step,) = [step for step in explained["documents"][0]["steps"] if step["step"] == "decontaminate"]
    assert step["split"] == "train"
    assert step["matches"] > 0
    assert {"start": match["start"], "end": match["end"]}.items() <= step["examples"][0].items()
    place = {"task": "task", "example": CLEAN, "file": "task.jsonl", "line": CLEAN + 1}
    assert place.items() <= step["examples"][0].items()
    said = glam(match["document"], command="explain").stdout
    assert "places match evaluation examples" in said
    ngrams = step["examples"][0]["ngrams"]
    assert f"task, task.jsonl line {CLEAN + 1}: {ngrams} n-grams, the first at character {match['start']}" in said
