"""`make bench` runs every benchmark there is, and its exit code tells whether all goals hold."""

import json
import runpy
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
FIGURE = {"benchmark": "made", "subject": "glam", "value": 2.0, "unit": "times", "goal": ">= 1", "holds": True}


@pytest.fixture
def all_benchmarks(monkeypatch):
    """The names in benchmarks/all.py."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return runpy.run_path(str(FOLDER / "all.py"))


def test_every_script_that_shows_figures_is_run(all_benchmarks):
    scripts = {path.stem for path in FOLDER.glob("*.py") if "from figures import" in path.read_text()} - {"all"}
    assert set(all_benchmarks["BENCHMARKS"]) == scripts


@pytest.mark.parametrize(
    ("script", "holds", "note"),
    [
        (f"print({json.dumps(json.dumps([FIGURE]))})", [True], ""),
        (f"print({json.dumps(json.dumps([FIGURE | {'holds': False}]))})", [False], ""),
        ("raise SystemExit(3)", [False], "exit code 3"),
        ("print('no list')", [False], "no figures on the last line of stdout"),
    ],
)
def test_a_goal_missed_and_a_script_that_fails_end_with_an_error(
    all_benchmarks, monkeypatch, tmp_path, capsys, script, holds, note
):
    (tmp_path / "made.py").write_text(script)
    scope = all_benchmarks["main"].__globals__
    monkeypatch.setitem(scope, "FOLDER", tmp_path)
    monkeypatch.setitem(scope, "BENCHMARKS", ("made",))
    monkeypatch.setattr(sys, "argv", ["all.py", "--json"])
    assert all_benchmarks["main"]() == (0 if all(holds) else 1)
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [figure["holds"] for figure in figures] == holds
    assert figures[0]["note"] == note
