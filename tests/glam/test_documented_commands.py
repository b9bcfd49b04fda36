"""Every `glam` command in the documentation is one that there is, and has the options that stand there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import typer

from glam.main import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("configs/**/*.toml"))]
PROGRAM = re.compile(r"(?:^|[\s`/(])glam ([a-z][^\n]*)")
END = re.compile(r"`| -- |\s#|&&|\||;|\s&(?:\s|$)|\"$")


def commands(text: str) -> list[str]:
    """Return what follows `glam` on its line, as far as the command goes."""
    joined = re.sub(r"\\\n\s*", "", text)
    return [END.split(found[1])[0] for found in PROGRAM.finditer(joined)]


@cache
def program() -> Any:
    """Return the `glam` command."""
    return typer.main.get_command(app)


def unknown_options(command: str) -> list[str] | None:
    """Return the options that a command has not; None where its first word is no command."""
    words = command.split()
    known: Any = program()
    while hasattr(known, "commands"):
        if not words or words[0] not in known.commands:
            return None
        known = known.commands[words.pop(0)]
    options = {option for parameter in known.params for option in parameter.opts} | {"--help"}
    given = [word.strip("[]().,…").split("=")[0] for word in words if re.match(r"[\[(]?--\w", word)]
    return [option for option in given if option not in options]


def test_documented_commands_have_their_options():
    found = {(page.name, command): unknown_options(command) for page in PAGES for command in commands(page.read_text())}
    assert {place: options for place, options in found.items() if options} == {}
    assert sum(options is not None for options in found.values()) > 60, "they were not found"


def test_commands_and_options_are_found_and_wrong_ones_told():
    text = (
        "  glam train CONFIG --store gs://B/s \\\n    --run R --coordinator auto -- --no_option\n`glam list --stores x`"
    )
    assert commands(text) == ["train CONFIG --store gs://B/s --run R --coordinator auto", "list --stores x"]
    assert [unknown_options(command) for command in commands(text)] == [[], ["--stores"]]
    assert unknown_options("mixture show C --budget 1") == []
    assert unknown_options("mixes show") is None
