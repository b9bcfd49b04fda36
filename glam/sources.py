"""`glam sources`: what extraction makes of the sources of a configuration, and of every input file."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from glam.options import DEFAULT_STORE, JsonOption, SetOption, StoreOption, show


def sources(
    context: typer.Context,
    config: Annotated[str, typer.Argument(help="Corpus configuration (TOML).")],
    store: StoreOption = DEFAULT_STORE,
    overrides: SetOption = None,
    files: Annotated[bool, typer.Option("--files", help="Show every input file too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what extraction makes of each source: records read and used, documents, and what was left out and why.

    What is not in the store yet is extracted first, as `glam build` would. Options after -- are Beam's.

    Example: glam sources configs/corpus.toml --set data=DIR --store store --files
    """
    from glam.tables import source_table

    answer = read_sources(config, overrides or [], store, context.args)
    if as_json:
        show(answer)
    else:
        source_table(answer, files)


def read_sources(config: str, overrides: Sequence[str], store: str, beam_options: Sequence[str]) -> dict[str, Any]:
    """Extract what is not extracted yet; return what `glam sources --json` prints."""
    from pipelines.build import build
    from pipelines.config import load_corpus_config
    from pipelines.input_files import read_file_figures
    from pipelines.progress import TerminalDisplay

    settings = load_corpus_config(config, overrides)
    made = build(settings, store, beam_options, TerminalDisplay(), until="extract")
    described = []
    for stage in made.stages:
        name = stage.manifest["recipe"]["source"]
        source = {
            "source": name,
            "component": settings.sources[name].component,
            "reader": settings.sources[name].reader,
        }
        described.append(source | stage.ledger[name] | {"files": read_file_figures(stage)})
    return {"folder": _folder(described), "sources": described, "files_missing": made.files_missing}


def _folder(described: Sequence[Mapping[str, Any]]) -> str:
    """Return the folder in which all input files lie, empty where there is none."""
    try:
        return posixpath.commonpath(
            [posixpath.dirname(file["path"]) for source in described for file in source["files"]]
        )
    except ValueError:  # files of several file systems
        return ""
