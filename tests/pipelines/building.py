"""Builds a corpus in a test, and what must be equal of two builds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from pipelines.build import Build, build
from pipelines.config import load_corpus_config
from pipelines.progress import SilentDisplay
from pipelines.store.files import join, write_json


def run_build(config: Path, store: Path | str, *beam_options: str, overrides: Sequence[str] = ()) -> Build:
    """Build the versions of a configuration file."""
    return build(load_corpus_config(str(config), overrides), str(store), beam_options, SilentDisplay())


def bytes_of(made: Build) -> dict[str, tuple[str, dict[str, str]]]:
    """Return id and files with sha256 of every version."""
    return {
        name: (version.id, {f["path"]: f["sha256"] for f in version.manifest["files"]})
        for name, version in made.versions.items()
    }


def copy_store(made: Build, store: Path | str, target: Path) -> Path:
    """Copy what a build made, and nothing that others made in the same store, by hard links; return the copy."""
    kept = [f"stages/{stage.stage}/{stage.fingerprint}" for stage in made.stages]
    kept += [f"versions/{version.id}" for version in made.versions.values()]
    for path in (*kept, "jobs"):
        shutil.copytree(Path(store, path), target / path, copy_function=os.link)
    for version in made.versions.values():
        write_json(join(str(target), "versions", version.id, "manifest.json"), version.manifest)
    return target
