"""How tables look, and where they are printed."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TextIO

from rich.console import Console
from rich.table import Table


def new_table(title: str, columns: Iterable[str], numeric_from: int) -> Table:
    """Return a table without rows; columns from number `numeric_from` on stand right."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for position, column in enumerate(columns):
        table.add_column(column, justify="right" if position >= numeric_from else "left", no_wrap=True)
    return table


def console(file: TextIO, width: int = 160) -> Console:
    """Return a console that prints words as they are, `[b]` and `:smile:` too; `width` where no terminal has one."""
    return Console(file=file, highlight=False, markup=False, emoji=False, width=None if file.isatty() else width)


def print_note(table: Table) -> None:
    """Print a table beside a command's answer, on stderr."""
    console(sys.stderr).print(table)


def print_answer(table: Table) -> None:
    """Print a table that is a command's answer, on stdout."""
    console(sys.stdout).print(table)


def print_answer_rows(title: str, columns: Iterable[str], numeric_from: int, rows: Iterable[Iterable[str]]) -> None:
    """Print rows as a table that is a command's answer."""
    table = new_table(title, columns, numeric_from)
    for row in rows:
        table.add_row(*row)
    print_answer(table)
