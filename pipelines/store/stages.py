"""Stages: outputs that are a function of a fingerprint, kept in the store and never computed twice.

    store = Store("store")
    key = StageKey("extract", recipe={…}, inputs={…}, modules=("pipelines.extract",), packages=("pyarrow",))
    if (done := store.finished(key)) is None:
        stage = store.begin(key)
        …write files under stage.url…
        done = stage.finish(files, ledger=…, summary=…)

The manifest is written last: a stage without one does not exist (docs/formats.md, "The store").
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from typing import Any

from pipelines.store.code_identity import code_identity
from pipelines.store.cpu_time import cpu_seconds
from pipelines.store.files import FileDigest, StoreError, exists, join, read_json, write_json
from pipelines.store.hashing import sha256_json
from pipelines.store.manifest import check_manifest

FORMAT = 2
"""Of manifests: 2 has `licence_totals` in that of a version and `left_out` beside the documents."""


@dataclass(frozen=True)
class StoredFile:
    """A file of a stage or version: path relative to its folder, size in bytes, sha256 (hex), rows or records,
    tokens.
    """

    path: str
    size: int
    sha256: str
    rows: int | None = None
    tokens: int | None = None

    @classmethod
    def of(cls, path: str, digest: FileDigest, rows: int | None = None, tokens: int | None = None) -> StoredFile:
        """Make an entry from a digest."""
        return cls(path, digest.size, digest.sha256, rows, tokens)

    def to_json(self) -> dict[str, Any]:
        """Return the manifest's entry."""
        entry: dict[str, Any] = {"path": self.path, "sha256": self.sha256, "size": self.size}
        if self.rows is not None:
            entry["rows"] = self.rows
        if self.tokens is not None:
            entry["tokens"] = self.tokens
        return entry


def merkle_root(files: Iterable[Mapping[str, Any]]) -> str:
    """Return the `output_id` of a set of files: sha256 over path, sha256 and size of each, in order of path."""
    state = hashlib.sha256()
    for entry in sorted(files, key=lambda item: item["path"]):
        state.update(f"{entry['path']}\0{entry['sha256']}\0{entry['size']}\n".encode())
    return state.hexdigest()


@dataclass(frozen=True)
class StageKey:
    """What a stage's output is a function of.

    Attributes:
        stage: name of the stage.
        recipe: the part of the configuration that it reads, as canonical JSON values; no path, runner or worker option.
        inputs: `output_id` of each stage it reads, or the sorted sha256 of raw files.
        modules: modules of this project that make its bytes (those they import are added).
        packages: distributions whose version can change its bytes.
    """

    stage: str
    recipe: Mapping[str, Any]
    inputs: Mapping[str, Any]
    modules: tuple[str, ...]
    packages: tuple[str, ...] = ()

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The five things that the fingerprint covers."""
        return {
            "stage": self.stage,
            "recipe": dict(self.recipe),
            "inputs": dict(self.inputs),
            "code": code_identity(*self.modules),
            "libraries": {name: version(name) for name in sorted(self.packages)},
        }

    @cached_property
    def fingerprint(self) -> str:
        """The cache key (hex)."""
        return sha256_json(self.identity)


@dataclass(frozen=True)
class FinishedStage:
    """A finished stage: its folder and its manifest.

    Attributes:
        reused: true when it was found in the store, false when this command computed it.
    """

    url: str
    manifest: dict[str, Any]
    reused: bool = True

    @property
    def stage(self) -> str:
        """Name of the stage."""
        return str(self.manifest["stage"])

    @property
    def fingerprint(self) -> str:
        """The stage's cache key."""
        return str(self.manifest["fingerprint"])

    @property
    def output_id(self) -> str:
        """Hash of the stage's output files."""
        return str(self.manifest["output_id"])

    @property
    def ledger(self) -> dict[str, Any]:
        """Counts by source."""
        return dict(self.manifest["ledger"])

    @property
    def summary(self) -> dict[str, Any]:
        """Figures that the stage tells."""
        return dict(self.manifest["summary"])

    def paths(self, prefix: str = "", suffix: str = "") -> list[str]:
        """Return the paths of the hashed files that begin and end so, sorted."""
        return sorted(
            f["path"] for f in self.manifest["files"] if f["path"].startswith(prefix) and f["path"].endswith(suffix)
        )

    def urls(self, prefix: str = "", suffix: str = "") -> list[str]:
        """Return the urls of the hashed files that begin and end so, sorted."""
        return [join(self.url, path) for path in self.paths(prefix, suffix)]

    def rows(self, prefix: str = "") -> int:
        """Return the sum of rows of the hashed files under `prefix`."""
        return sum(f.get("rows", 0) for f in self.manifest["files"] if f["path"].startswith(prefix))


@dataclass
class OpenStage:
    """A stage being written."""

    url: str
    key: StageKey
    _started: float = field(default_factory=time.monotonic)
    _cpu: float = field(default_factory=cpu_seconds)

    def path(self, *parts: str) -> str:
        """Return the url of a file of this stage."""
        return join(self.url, *parts)

    def finish(
        self,
        files: Iterable[StoredFile],
        *,
        ledger: Mapping[str, Any] | None = None,
        summary: Mapping[str, Any] | None = None,
        side_files: Iterable[StoredFile] = (),
        side: Mapping[str, Any] | None = None,
        share: float = 1.0,
    ) -> FinishedStage:
        """Write the manifest, which makes the stage exist.

        Args:
            files: the outputs that the `output_id` covers.
            ledger: counts by source.
            summary: figures that the stage tells.
            side_files: files outside every id (provenance, quarantine).
            side: further facts outside every id.
            share: of the time since the stage was opened that was this stage's, where several were made at once.
        """
        entries = [file.to_json() for file in sorted(files, key=lambda f: f.path)]
        manifest = {
            "format": FORMAT,
            "kind": "stage",
            "stage": self.key.stage,
            "fingerprint": self.key.fingerprint,
            "output_id": merkle_root(entries),
            **{name: self.key.identity[name] for name in ("recipe", "inputs", "code", "libraries")},
            "files": entries,
            "ledger": dict(ledger or {}),
            "summary": dict(summary or {}),
            "side": {
                "files": [file.to_json() for file in sorted(side_files, key=lambda f: f.path)],
                "seconds": round((time.monotonic() - self._started) * share, 3),
                "cpu_seconds": round((cpu_seconds() - self._cpu) * share, 3),
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                **(side or {}),
            },
        }
        write_json(self.path("manifest.json"), manifest)
        return FinishedStage(self.url, manifest, reused=False)


class Store:
    """A folder (local or on an object store) of stages, dataset versions and studies."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/") or "/"

    def stage_url(self, key: StageKey) -> str:
        """Return the folder of a stage."""
        return join(self.url, "stages", key.stage, key.fingerprint)

    def finished(self, key: StageKey) -> FinishedStage | None:
        """Return the stage if it is finished, else None."""
        url = self.stage_url(key)
        if not exists(join(url, "manifest.json")):
            return None
        return FinishedStage(url, read_manifest(url, "stage"))

    def begin(self, key: StageKey) -> OpenStage:
        """Open a stage for writing; the same files may be written again by another run."""
        return OpenStage(self.stage_url(key), key)


def read_manifest(url: str, kind: str) -> dict[str, Any]:
    """Read the manifest of the stage or version in folder `url`.

    Raises:
        StoreError: when it is missing, damaged, of another kind or written by a newer version of this program.
    """
    path = join(url, "manifest.json")
    if not exists(path):
        raise StoreError(f"{path}: there is no manifest; the {kind} is unfinished or was deleted: build it again")
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("kind") != kind or not isinstance(manifest.get("format"), int):
        raise StoreError(f"{path}: not the manifest of a {kind}; delete its folder and build again")
    if manifest["format"] > FORMAT:
        raise StoreError(
            f"{path}: format {manifest['format']}, this program reads up to {FORMAT}; install a newer version of it"
        )
    check_manifest(path, manifest, kind)
    return manifest
