"""Verification: are the files of a version, and of the stages that it was made from, still those of their manifests?

In full, every file is hashed again. Quickly, the size of every file is looked at and a sample is hashed: files in the
order of hash(seed, `verify`, path) until a share of the bytes is reached. Another seed takes another sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from pipelines.store.files import StoreError, digest_file, join, sizes_under
from pipelines.store.hashing import KeyedHash
from pipelines.store.stages import merkle_root, read_manifest
from pipelines.store.versions import Version, version_id

OnBytes = Callable[[int], object]


@dataclass(frozen=True)
class BadFile:
    """A file that is not what the manifest says, and how it differs."""

    path: str
    reason: str


@dataclass(frozen=True)
class Folder:
    """A folder with a manifest: its url, what its paths are told with, and the entries of its files to check."""

    url: str
    prefix: str
    files: tuple[Mapping[str, Any], ...]


def folders_of(version: Version, store_url: str | None = None) -> list[Folder]:
    """Return what there is to check of a version: its folder, and with the url of its store those of its stages.

    A stage without a sound manifest is not among them (`check_stages`).
    """
    folders = [Folder(version.url, "", tuple(version.manifest["files"]))]
    for name, url, manifest in _stages(version, store_url) if store_url is not None else ():
        if not isinstance(manifest, StoreError):
            folders.append(Folder(url, f"stages/{name}/", (*manifest["files"], *manifest["side"]["files"])))
    return folders


def check_stages(version: Version, store_url: str) -> list[BadFile]:
    """Return the manifests that are missing or damaged of the stages that a version was made from."""
    return [
        BadFile(f"stages/{name}/manifest.json", str(manifest))
        for name, _, manifest in _stages(version, store_url)
        if isinstance(manifest, StoreError)
    ]


def _stages(version: Version, store_url: str) -> Iterator[tuple[str, str, dict[str, Any] | StoreError]]:
    """Yield name, url and manifest of every stage of a version, or what is wrong with its manifest."""
    for name in version.manifest["stages"]:
        url = join(store_url, "stages", name)
        try:
            yield name, url, read_manifest(url, "stage")
        except StoreError as error:
            yield name, url, error


def sample_of(folders: Iterable[Folder], share: float, seed: int) -> list[Folder]:
    """Return the folders with the files of a sample of at least this share of their bytes, and at least one file."""
    folders = list(folders)
    order = KeyedHash(seed, "verify")
    every = [
        (order(f"{f.prefix}{entry['path']}".encode()), n, entry) for n, f in enumerate(folders) for entry in f.files
    ]
    left = share * sum(entry["size"] for _, _, entry in every)
    taken: list[list[Mapping[str, Any]]] = [[] for _ in folders]
    for _, number, entry in sorted(every, key=lambda item: item[:2]):
        taken[number].append(entry)
        left -= entry["size"]
        if left <= 0:
            break
    return [Folder(f.url, f.prefix, tuple(entries)) for f, entries in zip(folders, taken, strict=True)]


def differing_sizes(folders: Iterable[Folder]) -> list[BadFile]:
    """Return the files that are missing or have another size, in order of path; a listing is all that is read."""
    bad = []
    for folder in folders:
        sizes = sizes_under(folder.url)
        for entry in folder.files:
            size = sizes.get(entry["path"])
            if size != entry["size"]:
                reason = "is not there" if size is None else f"{size} bytes, the manifest says {entry['size']}"
                bad.append(BadFile(folder.prefix + entry["path"], reason))
    return sorted(bad, key=lambda item: item.path)


def check_contents(folders: Iterable[Folder], threads: int, on_bytes: OnBytes | None = None) -> list[BadFile]:
    """Hash files again, several at a time, and return those that differ, in order of path.

    Args:
        folders: what to check.
        threads: files read at a time.
        on_bytes: called, from several threads, with the bytes read since the last call.
    """

    def check(item: tuple[Folder, Mapping[str, Any]]) -> BadFile | None:
        folder, entry = item
        path = folder.prefix + entry["path"]
        try:
            digest = digest_file(join(folder.url, entry["path"]), on_bytes)
        except OSError as error:
            return BadFile(path, f"cannot be read ({error})")
        if digest.size != entry["size"]:
            return BadFile(path, f"{digest.size} bytes, the manifest says {entry['size']}")
        if digest.sha256 != entry["sha256"]:
            return BadFile(path, f"sha256 {digest.sha256}, the manifest says {entry['sha256']}")
        return None

    items = [(folder, entry) for folder in folders for entry in folder.files]
    with ThreadPoolExecutor(threads) as pool:
        bad = [result for result in pool.map(check, items) if result is not None]
    return sorted(bad, key=lambda item: item.path)


def check_ids(version: Version) -> list[BadFile]:
    """Return the manifest itself where its files and recipe do not give its ids."""
    root = merkle_root(version.manifest["files"])
    if root == version.manifest["output_id"] and version_id(version.manifest["recipe"], root) == version.id:
        return []
    return [BadFile("manifest.json", "its files or recipe do not give its id: the manifest was changed")]


def verify_version(version: Version, threads: int = 2) -> list[BadFile]:
    """Hash every file of a version again and check its ids; nothing is returned when it is sound."""
    return check_contents(folders_of(version), threads) + check_ids(version)


def check_sizes(version: Version) -> None:
    """Refuse a version whose manifest does not give its id, or one of whose training files has another size; a listing
    is all that is read.

    Raises:
        StoreError: with the first of these files and the remedy.
    """
    _refuse(version, [*check_ids(version), *differing_sizes([_training_files(version, "train/")])])


def check_training_contents(
    version: Version, components: Iterable[str], share: float, seed: int, *, process: int = 0, processes: int = 1
) -> None:
    """Refuse a version whose shards, or their indexes, are not those of its manifest: hash them.

    Args:
        version: whose manifest gives its id (`check_sizes`).
        components: whose files are read.
        share: of their bytes that is hashed at least, a sample by `seed` of whole files; 1 means all.
        seed: of the sample.
        process: number of this one of the processes that train together.
        processes: how many there are; each hashes its part of the files.

    Raises:
        StoreError: with the first file that differs, what was found, what was expected and the remedy.
    """
    folders = [_training_files(version, *(f"train/{name}/" for name in components))]
    chosen = folders if share == 1 else sample_of(folders, share, seed)
    part = [replace(folder, files=folder.files[process::processes]) for folder in chosen]
    _refuse(version, check_contents(part, threads=2))


def _training_files(version: Version, *prefixes: str) -> Folder:
    """Return the version's folder with the files below any of these."""
    return Folder(
        version.url, "", tuple(file for file in version.manifest["files"] if file["path"].startswith(prefixes))
    )


def _refuse(version: Version, bad: Sequence[BadFile]) -> None:
    for first in bad[:1]:
        raise StoreError(
            f"{join(version.url, first.path)}: {first.reason}: the corpus was changed since it was built; "
            f"`glam verify {version.id[:12]}` says what differs; bring the files back, or delete the version and build "
            "it again"
        )
