"""Make every fault and print what it did: `make faults`.

    python -m tests.faults [--only WORD ...] [--json]

Each row is a scenario with real processes and real damage, the same that tests/faults/test_faults.py runs. Exit code: 0
where every fault ended as it should and the resumed build gave the bytes of an undisturbed one, else 1. What this
machine does not allow (mounting a small disk) is told and is no failure.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tests.faults.table import SCENARIOS, markdown, shortened
from tests.faults.workplace import NotHere, Row, Unexpected, Workplace

console = Console(stderr=True, highlight=False)


def make(names: list[str], place: Workplace) -> tuple[list[Row], list[str], list[str]]:
    """Make the faults of these names; return their rows, what failed, and what cannot be made here."""
    rows, failed, not_here = [], [], []
    for name in names:
        try:
            row = SCENARIOS[name](place)
        except NotHere as reason:
            not_here.append(f"{name}: {reason}")
            continue
        except (Unexpected, TimeoutError) as error:
            failed.append(f"{name}: {error}")
            console.print(f"FAILED: {name}: {error}", markup=False)
            continue
        rows.append(shortened(row, place.folder))
        if not row.same_bytes:
            failed.append(f"{name}: the resumed build gave other bytes")
        console.print(f"{name}: {'as it should' if row.same_bytes else 'OTHER BYTES'}")
    return rows, failed, not_here


def main() -> int:
    """Make the faults and print the table; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Make faults and print what they did.")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="faults whose name has one of these words in it")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line of stdout")
    arguments = parser.parse_args()
    names = [name for name in SCENARIOS if not arguments.only or any(word in name for word in arguments.only)]
    with tempfile.TemporaryDirectory(prefix="glam-faults-") as folder:
        rows, failed, not_here = make(names, Workplace(Path(folder)))
    if arguments.json:
        answer = {"faults": [vars(row) for row in rows], "failed": failed, "not_here": not_here}
        print(json.dumps(answer, ensure_ascii=False))
    else:
        print(markdown(rows))
    for line in not_here:
        console.print(f"not on this machine: {line}", markup=False)
    for line in failed:
        console.print(f"FAILED: {line}", markup=False)
    console.print(f"{len(rows)} faults, {len(failed)} not as they should")
    return 1 if failed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
