"""The ledger of deviations names tests that exist."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
LEDGER = TESTS.parents[1] / "docs" / "deviations.md"


def test_every_row_is_held_by_a_test_that_exists():
    rows = [line for line in LEDGER.read_text().splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    for row in rows:
        file, name = re.search(r"`([\w/]+\.py)::(\w+)` \|$", row).groups()
        tree = ast.parse((TESTS / file).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file}::{name}"
