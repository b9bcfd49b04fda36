"""Garbage: what of a store nothing refers to any more.

Kept are all versions, runs and studies, and every stage that a version names or that made one of those: a stage's
`inputs` name by `output_id` what it read. Garbage are the other stages, stages and versions without a manifest, files
that were never finished, and the work lists of jobs. On request also *superseded* versions: not the newest of any of
their names, and named by no run or study of the store. Runs that were trained into other folders are not seen.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.store.files import (
    StoreError,
    delete_file,
    delete_folder,
    exists,
    is_local,
    join,
    list_folders,
    local_path,
    size_of,
    sizes_under,
)
from pipelines.store.leases import left_behind
from pipelines.store.references import references
from pipelines.store.stages import read_manifest
from pipelines.store.versions import Version, find_version, list_versions

_TEMPORARY = re.compile(r"\..+\.tmp$")
"""What a file is called while it is written (`files.AtomicFile`)."""


@dataclass(frozen=True)
class Garbage:
    """A folder or file that may be deleted.

    Attributes:
        path: relative to the store.
        kind: `stage`, `version`, `jobs` or `temporary`.
        reason: why nothing needs it.
        sizes: bytes of each of its files, by url.
    """

    path: str
    kind: str
    reason: str
    sizes: dict[str, int]

    @property
    def bytes(self) -> int:
        """Size of all its files."""
        return sum(self.sizes.values())


def find_garbage(store_url: str, superseded: bool = False, keep: Collection[str] = ()) -> list[Garbage]:
    """Return what may be deleted of a store, in order of path.

    Args:
        store_url: the store.
        superseded: also versions that newer ones of the same names replaced and no run or study names.
        keep: versions to keep all the same, each by its id, a unique prefix of it, or a name (the newest).

    Raises:
        StoreError: when the manifest of a version or the file of a run or study is damaged: what it refers to is not
            known then; when one of `keep` is no version.
    """
    versions = list_versions(store_url, _refuse)
    named = {identifier for reference in references(store_url, _refuse) for identifier in reference.versions}
    named |= {find_version(store_url, reference).id for reference in keep}
    old = superseded_versions(versions, named) if superseded else []
    gone = {version.id for version in old}
    kept = _needed(store_url, [version for version in versions if version.id not in gone])
    found = [
        _folder(store_url, "version", version.url, "superseded: newer ones have its names, no run or study names it")
        for version in old
    ]
    found += _unfinished_versions(store_url)
    found += _unneeded_stages(store_url, kept)
    found += [
        _folder(store_url, "jobs", join(store_url, "jobs", name), "the job has ended")
        for name in list_folders(join(store_url, "jobs"))
    ]
    folders = tuple(f"{item.path}/" for item in found)
    found += _temporaries(store_url, folders)
    return sorted(found, key=lambda item: item.path)


def superseded_versions(versions: Iterable[Version], named: Collection[str]) -> list[Version]:
    """Return the versions that are not the newest of any of their names and that nothing names."""
    newest: dict[str, tuple[str, str]] = {}
    versions = list(versions)
    for version in versions:
        for name, when in version.manifest["side"]["names"].items():
            newest[name] = max(newest.get(name, ("", "")), (when, version.id))
    current = {identifier for _, identifier in newest.values()}
    return [version for version in versions if version.id not in current and version.id not in named]


def freed_bytes(store_url: str, garbage: Iterable[Garbage]) -> int:
    """Return how many bytes deleting frees: a file that a kept folder holds too (a hard link) frees none."""
    urls = [url for item in garbage for url in item.sizes]
    if not is_local(store_url):
        return sum(size for item in garbage for size in item.sizes.values())
    links: dict[tuple[int, int], list[os.stat_result]] = {}
    for url in urls:
        status = Path(local_path(url)).lstat()
        links.setdefault((status.st_dev, status.st_ino), []).append(status)
    return sum(found[0].st_size for found in links.values() if len(found) >= found[0].st_nlink)


def delete(store_url: str, garbage: Iterable[Garbage]) -> None:
    """Delete garbage. Of a stage or version the manifest goes first, so that none is ever there in part."""
    for item in garbage:
        url = join(store_url, item.path)
        if item.kind == "temporary":
            delete_file(url)
            continue
        delete_file(join(url, "manifest.json"))
        delete_folder(url)


def _refuse(url: str, error: Exception) -> None:
    raise StoreError(
        f"{error}: what it refers to is not known, so nothing is safe to delete; mend or remove {url} first"
    ) from error


def _stages(store_url: str) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Yield NAME/FINGERPRINT and the manifest of every stage, None where it has no sound one."""
    base = join(store_url, "stages")
    for stage in list_folders(base):
        for fingerprint in list_folders(join(base, stage)):
            url = join(base, stage, fingerprint)
            try:
                manifest = read_manifest(url, "stage") if exists(join(url, "manifest.json")) else None
            except StoreError:
                manifest = None
            yield f"{stage}/{fingerprint}", manifest


def _needed(store_url: str, versions: Iterable[Version]) -> set[str]:
    """Return the stages, NAME/FINGERPRINT, that these versions name, and those that made what they read.

    Where several stages have an output that was read and no needed one has it, all of them are kept.
    """
    manifests = dict(_stages(store_url))
    by_output: dict[str, set[str]] = {}
    for name, manifest in manifests.items():
        if manifest is not None:
            by_output.setdefault(str(manifest["output_id"]), set()).add(name)
    needed = {name for version in versions for name in version.manifest["stages"]}
    waiting = sorted(needed)
    while waiting:
        inputs = (manifests.get(waiting.pop()) or {}).get("inputs", {})
        for value in inputs.values():
            makers = by_output.get(value, set()) if isinstance(value, str) else set()
            if not makers & needed:
                needed |= makers
                waiting += sorted(makers)
    return needed


def _unneeded_stages(store_url: str, needed: Collection[str]) -> Iterator[Garbage]:
    for name, manifest in _stages(store_url):
        if name not in needed:
            reason = "unfinished" if manifest is None else "no version was made from it"
            yield _folder(store_url, "stage", join(store_url, "stages", name), reason)


def _unfinished_versions(store_url: str) -> Iterator[Garbage]:
    base = join(store_url, "versions")
    for name in list_folders(base):
        if not exists(join(base, name, "manifest.json")):
            yield _folder(store_url, "version", join(base, name), "unfinished")


def _temporaries(store_url: str, inside: tuple[str, ...]) -> Iterator[Garbage]:
    """Yield the files that a writer left when it was killed, outside the folders that go anyway."""
    for folder in ("stages", "versions", "jobs"):
        for path, size in sizes_under(join(store_url, folder)).items():
            whole = f"{folder}/{path}"
            if _TEMPORARY.search(path.rsplit("/", 1)[-1]) and not whole.startswith(inside):
                yield Garbage(whole, "temporary", "its writer was killed", {join(store_url, whole): size})
    for url in left_behind(store_url):
        path = url.removeprefix(f"{store_url.rstrip('/')}/")
        yield Garbage(path, "temporary", "the lease of a process that was killed", {url: size_of(url)})


def _folder(store_url: str, kind: str, url: str, reason: str) -> Garbage:
    sizes = {join(url, path): size for path, size in sizes_under(url).items()}
    return Garbage(url.removeprefix(f"{store_url.rstrip('/')}/"), kind, reason, sizes)
