"""Options that several commands have, where configurations lie, and how an answer is printed as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

DEFAULT_STORE = "store"

StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        help="Folder or address of the store.",
        envvar="GLAM_STORE",
        callback=lambda url: url.removeprefix("file://"),
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on the last line of stdout.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Override a key: key=value, the key dotted, the value as in TOML.")
]


def configs_folder() -> Path:
    """Return the folder of the configurations that come with the program (in a checkout or in an installed wheel)."""
    here = Path(__file__).resolve().parent
    return next(folder for folder in (here.parent / "configs", here / "configs") if folder.is_dir())


def show(answer: dict[str, Any]) -> None:
    """Print the answer of a command run with `--json`."""
    print(json.dumps(answer, ensure_ascii=False), flush=True)
