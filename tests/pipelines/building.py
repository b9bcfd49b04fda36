"""Builds a corpus in a test, and what must be equal of two builds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipelines.build import Build, build
from pipelines.config import load_corpus_config
from pipelines.progress import SilentDisplay


def run_build(config: Path, store: Path | str, *beam_options: str, overrides: Sequence[str] = ()) -> Build:
    """Build the versions of a configuration file."""
    return build(load_corpus_config(str(config), overrides), str(store), beam_options, SilentDisplay())


def bytes_of(made: Build) -> dict[str, tuple[str, dict[str, str]]]:
    """Return id and files with sha256 of every version."""
    return {
        name: (version.id, {f["path"]: f["sha256"] for f in version.manifest["files"]})
        for name, version in made.versions.items()
    }
