"""Runs `glam` commands in this process, as a user would in a shell."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner

from glam.main import app


def outcome(*arguments: object) -> tuple[int, str]:
    """Return exit code and stdout of a command; an error that is meant for the user is raised."""
    done = CliRunner().invoke(app, [*map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout


def run(*arguments: object) -> str:
    """Return what a command that ends well prints on stdout."""
    code, said = outcome(*arguments)
    assert code == 0, said
    return said


def answer(*arguments: object) -> dict[str, Any]:
    """Return the JSON that a command prints, however it ends."""
    return json.loads(outcome(*arguments, "--json")[1].splitlines()[-1])
