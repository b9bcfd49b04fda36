"""What people see of a step: units done, share, rate and time left."""

from __future__ import annotations

import pytest

from pipelines import progress
from pipelines.progress import TerminalDisplay


@pytest.fixture
def clock(monkeypatch):
    """The seconds that have gone by, in a list."""
    gone = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: gone[0])
    return gone


def test_a_step_shows_units_share_rate_and_time_left(clock, capsys):
    display = TerminalDisplay()
    display.start("deduplicate", 2_000, "documents")
    clock[0] += 4
    display.move(100)
    assert capsys.readouterr().err == "", "a line every five seconds where nobody looks on"
    clock[0] += 6
    display.move(500, "3 of 14 tasks")
    said = "  deduplicate: 500 documents of 2k (25 %), 50 documents/s, 30.0 s left, 3 of 14 tasks\n"
    assert capsys.readouterr().err == said


def test_a_step_that_goes_on_has_the_rate_of_this_time(clock, capsys):
    display = TerminalDisplay()
    display.start("train", 10_000_000, "tokens", 4_000_000)
    clock[0] += 10
    display.move(5_000_000)
    assert capsys.readouterr().err == "  train: 5M tokens of 10M (50 %), 100k tokens/s, 50.0 s left\n"


def test_of_a_step_whose_size_nobody_knows_the_time_is_shown(clock, capsys):
    display = TerminalDisplay()
    display.start("compile", None, "")
    clock[0] += 125
    display.move(0)
    assert capsys.readouterr().err == "  compile: 2:05 min so far\n"
