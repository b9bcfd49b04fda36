"""Dataset versions: what a build publishes, a trainer reads and a study compares.

A version is found by its id, a unique prefix of it, or its name (the newest of that name).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.store.files import StoreError, exists, join, list_folders, write_json
from pipelines.store.hashing import sha256_json
from pipelines.store.repetition import RepetitionLimits
from pipelines.store.stages import FORMAT, StoredFile, merkle_root, read_manifest

ID_DIGITS = 32
"""Hexadecimal digits of a version id."""


@dataclass(frozen=True)
class Component:
    """A component of the mixture: its weight (of a sum of 1), variant, size, and shards (urls).

    `tokens_cut` are those over the most that a document of the component may give.
    """

    name: str
    weight: float
    variant: str
    records: int
    tokens: int
    documents: int
    tokens_cut: int
    shards: tuple[str, ...]


@dataclass(frozen=True)
class HeldOut:
    """The held-out documents of one source: `bytes` is the length of their texts in UTF-8; `shards` are urls."""

    source: str
    component: str
    out_of_domain: bool
    records: int
    tokens: int
    documents: int
    bytes: int
    shards: tuple[str, ...]


@dataclass(frozen=True)
class Version:
    """A dataset version in a store: its folder and its manifest (docs/formats.md)."""

    url: str
    manifest: dict[str, Any]

    @property
    def id(self) -> str:
        """The version's id."""
        return str(self.manifest["id"])

    @property
    def name(self) -> str:
        """The version's name in its configuration."""
        return str(self.manifest["name"])

    @property
    def sequence_length(self) -> int:
        """Inputs (and targets) of a record."""
        return int(self.manifest["sequence_length"])

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids."""
        return int(self.manifest["vocabulary_size"])

    @property
    def token_dtype(self) -> str:
        """`uint16` or `uint32`."""
        return str(self.manifest["token_dtype"])

    @property
    def tokenizer_url(self) -> str:
        """The SentencePiece model."""
        return join(self.url, self.manifest["tokenizer"])

    @property
    def repetition_limits(self) -> RepetitionLimits:
        """How often a training may read a component; versions of old builds have the defaults."""
        return RepetitionLimits(**self.manifest["side"].get("mixture_limits", {}))

    @property
    def components(self) -> dict[str, Component]:
        """The components of the mixture by name."""
        return {
            name: Component(name=name, **{**entry, "shards": self._urls(entry)})
            for name, entry in self.manifest["components"].items()
        }

    @property
    def heldout(self) -> dict[str, HeldOut]:
        """The held-out documents by source."""
        return {
            name: HeldOut(source=name, **{**entry, "shards": self._urls(entry)})
            for name, entry in self.manifest["heldout"].items()
        }

    def _urls(self, entry: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(join(self.url, path) for path in entry["shards"])


def version_id(recipe: Mapping[str, Any], output_id: str) -> str:
    """Return the id of the version with this recipe and these output files."""
    return sha256_json({"recipe": dict(recipe), "output_id": output_id})[:ID_DIGITS]


def publish_version(url: str, files: list[StoredFile], body: Mapping[str, Any]) -> Version:
    """Write the manifest of a version whose files are complete; this makes the version exist.

    Args:
        url: the version's folder.
        files: every file of the version.
        body: the manifest's other entries (name, id, recipe, components …).

    Raises:
        StoreError: when the id in `body` is not that of its recipe and files.
    """
    entries = [file.to_json() for file in sorted(files, key=lambda f: f.path)]
    output_id = merkle_root(entries)
    if body["id"] != version_id(body["recipe"], output_id):
        raise StoreError(f"{url}: the version id {body['id']} is not that of its recipe and files")
    manifest = {"format": FORMAT, "kind": "version", **body, "output_id": output_id, "files": entries}
    write_json(join(url, "manifest.json"), manifest)
    return Version(url, manifest)


def read_version(url: str) -> Version:
    """Return the version in a folder.

    Raises:
        StoreError: when its manifest is missing, damaged or of a newer format.
    """
    return Version(url, read_manifest(url, "version"))


def list_versions(store_url: str, on_damaged: Callable[[str, StoreError], object] | None = None) -> list[Version]:
    """Return the versions of a store, oldest first.

    Args:
        store_url: the store.
        on_damaged: called with the url of each version whose manifest cannot be read, and what is wrong with it.
    """
    base = join(store_url, "versions")
    found = []
    for url in (join(base, name) for name in list_folders(base)):
        if exists(join(url, "manifest.json")):
            try:
                found.append(read_version(url))
            except StoreError as error:
                if on_damaged is not None:
                    on_damaged(url, error)
    return sorted(found, key=lambda v: (v.manifest["side"]["created"], v.id))


def find_version(store_url: str, reference: str) -> Version:
    """Return the version with this id, unique prefix of an id (4 digits or more), or name (the newest).

    Raises:
        StoreError: when there is none, or a prefix fits several, or its manifest is damaged.
    """
    damaged: dict[str, StoreError] = {}
    versions = list_versions(store_url, damaged.__setitem__)
    named = [(v.manifest["side"]["names"][reference], v) for v in versions if reference in v.manifest["side"]["names"]]
    if named:
        return max(named, key=lambda item: item[0])[1]
    fitting = [v for v in versions if len(reference) >= 4 and v.id.startswith(reference)]
    if len(fitting) == 1:
        return fitting[0]
    for url, error in damaged.items():
        if len(reference) >= 4 and url.rpartition("/")[2].startswith(reference):
            raise error
    known = ", ".join(f"{v.name} {v.id[:12]}" for v in versions[-10:]) or "none"
    if damaged:
        known += f"; {len(damaged)} more whose manifests are damaged"
    problem = (
        f"fits {len(fitting)} versions" if fitting else "is neither the id, a prefix of it, nor the name of a version"
    )
    raise StoreError(
        f"{store_url}: {reference!r} {problem}; the store holds: {known} (see `glam list --store {store_url}`)"
    )
