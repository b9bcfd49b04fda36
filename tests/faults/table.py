"""Every fault there is, and how its row is printed: for people, for machines, for docs/reliability.md."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from tests.faults import input_faults, process_faults, store_faults, system_faults
from tests.faults.workplace import Row, Scenario

SCENARIOS: dict[str, Scenario] = {
    **input_faults.SCENARIOS,
    **system_faults.SCENARIOS,
    **process_faults.SCENARIOS,
    **store_faults.SCENARIOS,
}
COLUMNS = ("fault", "injected", "what happened", "exit", "message", "same bytes after")


def shortened(row: Row, folder: Path) -> Row:
    """Return a row in whose message temporary folders and fingerprints are short."""
    message = row.message.replace(str(folder), "…")
    message = re.sub(r"[0-9a-f]{32,64}", lambda found: f"{found[0][:6]}…", message)
    return Row(**{**vars(row), "message": " ".join(message.split())})


def markdown(rows: Iterable[Row]) -> str:
    """Return the table as it stands in docs/reliability.md."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---|---|---|---|---|---|"]
    for row in rows:
        cells = (row.fault, row.injected, row.happened, row.exit_code, row.message, "yes" if row.same_bytes else "NO")
        lines.append(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)
