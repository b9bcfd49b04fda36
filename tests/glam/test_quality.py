"""`glam quality` on a user's own files, from training to an explanation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.demo_text import news, plays

ROOT = Path(__file__).resolve().parents[2]


def quality(*arguments, stdin=None):
    command = [sys.executable, "-m", "glam", "quality", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, input=stdin)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    articles = [{"text": text, "url": f"http://news.example/{n}"} for n, text in enumerate(news()[:120])]
    (folder / "good.jsonl").write_text("".join(json.dumps(row) + "\n" for row in articles))
    for number, play in enumerate(plays()):
        (folder / f"play-{number}.txt").write_text(play[:60_000])
    return folder


@pytest.fixture(scope="module")
def model(files):
    path = files / "quality.model"
    sources = ("--positives", files / "good.jsonl", "--negatives", files / "play-*.txt")
    done = quality("train", *sources, "--out", path, "--set", "epochs=15", "--set", "buckets=4096", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["size"] == path.stat().st_size
    assert set(answer["negatives"]) == {f"play-{number}.txt" for number in range(6)}
    return path


@pytest.mark.parametrize("command", ["train", "evaluate", "score", "explain"])
def test_every_command_has_help_with_an_example(command):
    done = quality(command, "--help")
    assert done.returncode == 0
    assert f"glam quality {command}" in " ".join(done.stdout.split()).partition("Example: ")[2]


def test_lines_pass_through_with_a_score(files, model):
    lines = (files / "good.jsonl").read_text()
    done = quality("score", "--model", model, stdin=lines)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [{key: row[key] for key in ("text", "url")} for row in rows] == [json.loads(x) for x in lines.splitlines()]
    assert sum(row["quality"] > 0.5 for row in rows) > 110


def test_an_explanation_names_words(files, model):
    done = quality("explain", files / "play-0.txt", "--model", model, "--features", 8, "--json")
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)["documents"]
    assert answer["probability"] < 0.5
    assert len(answer["features"]) == 8
    text = (files / "play-0.txt").read_text().lower()
    assert all(
        feature["feature"].split()[0] in text for feature in answer["features"] if "</s>" not in feature["feature"]
    )


def test_a_file_may_be_scored_into_its_own_place(files, model, tmp_path):
    path = tmp_path / "crawl.jsonl"
    path.write_bytes((files / "good.jsonl").read_bytes())
    assert quality("score", path, "--model", model, "--out", path).returncode == 0
    lines = path.read_text().splitlines()
    assert len(lines) == 120
    assert all("quality" in json.loads(line) for line in lines)


def test_words_that_look_like_markup_are_printed_as_they_are(model, tmp_path):
    (tmp_path / "page.txt").write_text("[/b] minister [bold] minister :smile: [/b]")
    done = quality("explain", tmp_path / "page.txt", "--model", model, "--features", 50)
    assert done.returncode == 0, done.stderr
    assert "[/b] minister " in done.stdout
    assert "minister [bold] " in done.stdout
    assert ":smile: [/b]" in done.stdout


def test_evaluation_of_files_writes_a_page(files, tmp_path):
    sources = ("--positives", files / "good.jsonl", "--negatives", files / "play-*.txt")
    page = tmp_path / "page.html"
    done = quality(
        "evaluate", *sources, "--out", page, "--groups", 0, "--set", "folds=2", "--set", "epochs=5", "--json"
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["cross_fitted"]["positives"] > 100
    assert {row["group"] for row in answer["sources"]} == {"good.jsonl", *(f"play-{n}.txt" for n in range(6))}
    assert page.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "--positives", "only.jsonl"], "give --positives and --negatives"),
        (["train", "--positives", "a.jsonl", "--negatives", "b.jsonl"], "a.jsonl: no such file"),
        (["score", "--model", "none.model", "-"], "none.model: cannot be read"),
        (["explain", "some.txt"], "give --version for a document of a corpus, or --model for a text file"),
    ],
)
def test_a_mistake_is_told_with_its_remedy(arguments, said):
    done = quality(*arguments, stdin="")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert said in done.stderr


@pytest.mark.parametrize(
    ("good", "other", "said"),
    [
        (["One."], ["Two.", "Three."], "quality: too few positive texts for 5 folds: of 1, none is left to learn from"),
        ([f"Good {n}." for n in range(60)], ["Two."], "quality: too few negative texts for 5 folds: of 1, none"),
        (["One."], [], "b.jsonl: no text in it; give files that have some"),
        (
            ["One.", "Same  text, twice.", "Two."],
            ["Two.", "Three.", "Same  text, twice."],
            "--positives a.jsonl, --negatives b.jsonl: texts that stand in both classes: 2; one begins "
            "'Same text, twice.'; leave each in one class",
        ),
    ],
)
def test_texts_that_cannot_be_judged_are_told(tmp_path, good, other, said):
    for name, texts in (("a", good), ("b", other)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    files = ("--positives", tmp_path / "a.jsonl", "--negatives", tmp_path / "b.jsonl")
    done = quality("evaluate", *files, "--out", tmp_path / "page.html", "--set", "folds=5")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert said in " ".join(done.stderr.split())
    assert "[quality]" not in done.stderr
