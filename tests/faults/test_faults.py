"""Every fault ends as it should: nothing lost unaccounted, a true exit code, a message that says what to do, and after
the remedy the bytes of an undisturbed build. `make faults` prints the same as a table.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.__main__ import make
from tests.faults.table import SCENARIOS, markdown, shortened
from tests.faults.workplace import NotHere, Row, Workplace

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Workplace(tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_fault_ends_as_it_should(name, place):
    try:
        row = SCENARIOS[name](place)
    except NotHere as reason:
        pytest.skip(str(reason))
    assert row.same_bytes
    assert row.exit_code == 0 or row.exit_code == -9 or row.message


def test_the_program_makes_the_same_rows(place):
    rows, failed, not_here = make(["configuration with a key of a newer version"], place)
    (row,) = rows
    assert (row.exit_code, row.same_bytes) == (1, True)
    assert "holdout.stratify: there is no such key" in row.message
    assert failed == not_here == []


def test_the_program_fails_where_it_makes_no_fault():
    command = [sys.executable, "-m", "tests.faults", "--json", "--only", "no such fault"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout.splitlines()[-1]) == {"faults": [], "failed": [], "not_here": []}


def test_a_row_names_no_folder_of_the_run(tmp_path):
    row = Row("fault", "a | b", "what", 1, f"{tmp_path}/stages/{'ab' * 32}/x:\n  cannot be read", True)
    assert shortened(row, tmp_path).message == "…/stages/ababab…/x: cannot be read"
    assert r"a \| b" in markdown([row])
