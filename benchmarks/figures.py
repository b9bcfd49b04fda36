"""What every benchmark prints: figures with unit, the peer measured in the same run, and the goal they are held to.

A benchmark is a script of its own: `python benchmarks/NAME.py` prints a table, with `--json` one JSON list on the last
line of stdout. `python benchmarks/all.py` runs them one after the other and prints one table.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        benchmark: the script's name.
        subject: what was measured, e.g. `rensa, bare loop`.
        value: the figure.
        unit: e.g. `documents / CPU s`.
        goal: what it is held to, in words (`>= rensa`), or None.
        holds: whether it reaches the goal; None without one.
        note: what a reader must know to understand the figure.
    """

    benchmark: str
    subject: str
    value: float
    unit: str
    goal: str | None = None
    holds: bool | None = None
    note: str = ""


def show(figures: Iterable[Figure], arguments: list[str] | None = None) -> None:
    """Print figures as a table, or with `--json` among the arguments as one JSON list."""
    figures = list(figures)
    if "--json" in (sys.argv[1:] if arguments is None else arguments):
        print(json.dumps([asdict(figure) for figure in figures]))
        return
    table = Table("benchmark", "subject", "value", "unit", "goal", "holds", "note")
    for figure in figures:
        holds = "" if figure.holds is None else ("yes" if figure.holds else "NO")
        row = (figure.benchmark, figure.subject, f"{figure.value:,.4g}", figure.unit, figure.goal or "", holds)
        table.add_row(*row, figure.note)
    Console(width=None if sys.stdout.isatty() else 200).print(table)
