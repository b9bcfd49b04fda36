"""The ledger of deviations names tests and switches that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from trainer.config import TrainingConfig

TESTS = Path(__file__).parent
LEDGER = TESTS.parents[1] / "docs" / "deviations.md"


def rows() -> list[list[str]]:
    """Return the cells of each row: detail, paper, authors' code, here, switch, held by."""
    lines = [line for line in LEDGER.read_text().splitlines() if line.startswith("| ")][1:]
    return [line.strip("| ").split(" | ") for line in lines]


def test_every_row_is_held_by_tests_that_exist():
    assert len(rows()) > 20
    for detail, *_, held in rows():
        tests = [re.fullmatch(r"`([\w/]+\.py)::(\w+)`", name).groups() for name in held.split(", ")]
        for file, name in tests:
            tree = ast.parse((TESTS / file).read_text())
            functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
            assert name in functions, f"{detail}: {file}::{name}"


def test_every_row_names_a_switch_that_exists_or_says_why_there_is_none_and_every_deviation_has_one():
    for detail, _, _, here, switch, _ in rows():
        section = re.match(r"`\[(\w+)\]`: ", switch)
        keys = TrainingConfig.model_fields[section[1] if section else "model"].default_factory().model_dump()
        named = re.findall(r"`([a-z_]+)(?: = [^`]+)?`", switch)
        assert switch.startswith("none: ") or (named and set(named) <= set(keys)), detail
        assert not (switch.startswith("none: ") and "**deviation**" in here), detail
