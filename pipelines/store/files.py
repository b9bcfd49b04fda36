"""Files on any file system that fsspec knows, written so that nothing is ever visible half-written.

A *url* is a local path or an fsspec address (`gs://…`, `s3://…`, `memory://…`). On a local file system a file is
written under a temporary name beside its own and renamed; an object store shows an object only once it is complete,
so there the file is written directly.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import stat
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from pipelines.store.errors import GlamError

BLOCK_BYTES = 1 << 20
WRITE_BUFFER_BYTES = 1 << 16
_EXTRAS = {"gs": "gcp", "gcs": "gcp", "s3": "s3", "s3a": "s3"}


class StoreError(GlamError):
    """A file of the store is missing, damaged or not what it claims to be; the message names it and the remedy."""


def is_local(url: str) -> bool:
    """Tell whether `url` is a path of this machine."""
    return "://" not in url or url.startswith("file://")


def local_path(url: str) -> str:
    """Return the path of a local url."""
    return url.removeprefix("file://")


def join(base: str, *parts: str) -> str:
    """Join a url and relative parts with `/`."""
    return "/".join([base.rstrip("/"), *(part.strip("/") for part in parts)])


def filesystem(url: str) -> tuple[Any, str]:
    """Return the fsspec file system of a remote `url` and the path in it.

    Raises:
        StoreError: when the scheme is unknown or its package is not installed.
    """
    import fsspec

    # What a listing said once is not believed later: other processes write into the same store.
    options = {"use_listings_cache": False} if url.partition("://")[0] in _EXTRAS else {}
    try:
        return fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        scheme = url.partition("://")[0]
        extra = _EXTRAS.get(scheme)
        remedy = f"pip install 'glam[{extra}]'" if extra else "install the package that fsspec asks for"
        raise StoreError(f"{url}: {scheme}:// needs a package that is not installed ({error}); {remedy}") from error
    except ValueError as error:
        raise StoreError(f"{url}: {error}; use a local path, gs://, s3:// or another scheme of fsspec") from error


def exists(url: str) -> bool:
    """Tell whether there is a file at `url`."""
    if is_local(url):
        return Path(local_path(url)).is_file()
    remote, path = filesystem(url)
    return bool(remote.isfile(path))


def is_folder(url: str) -> bool:
    """Tell whether there is a folder at `url`."""
    if is_local(url):
        return Path(local_path(url)).is_dir()
    remote, path = filesystem(url)
    return bool(remote.isdir(path))


def open_read(url: str) -> IO[bytes]:
    """Open a file for reading bytes."""
    if is_local(url):
        return Path(local_path(url)).open("rb")
    remote, path = filesystem(url)
    return remote.open(path, "rb")


def read_bytes(url: str) -> bytes:
    """Return the whole content of a (small) file."""
    with open_read(url) as file:
        return file.read()


def read_range(url: str, start: int, end: int) -> bytes:
    """Return the bytes [start, end) of a file; of an object nothing else is fetched."""
    if is_local(url):
        with open_read(url) as file:
            file.seek(start)
            return file.read(end - start)
    remote, path = filesystem(url)
    return bytes(remote.cat_file(path, start=start, end=end))


def size_of(url: str) -> int:
    """Return the size of a file in bytes."""
    if is_local(url):
        return Path(local_path(url)).stat().st_size
    remote, path = filesystem(url)
    return int(remote.size(path))


def list_folders(url: str) -> list[str]:
    """Return the names of the folders directly under `url`, sorted; none if `url` does not exist."""
    if is_local(url):
        folder = Path(local_path(url))
        return sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
    remote, path = filesystem(url)
    if not remote.isdir(path):
        return []
    return sorted(
        entry["name"].rstrip("/").rsplit("/", 1)[-1]
        for entry in remote.ls(path, detail=True)
        if entry["type"] == "directory"
    )


def sizes_under(url: str) -> dict[str, int]:
    """Return the size of every file under a folder by its path in it; of none if there is no such folder.

    Files that come or go meanwhile, as those of another process do while it writes, may be in it or not.
    """
    if is_local(url):
        base, sizes = Path(local_path(url)), {}
        for folder, _, names in os.walk(base):
            for file in (Path(folder) / name for name in names):
                with suppress(FileNotFoundError):
                    if stat.S_ISREG((status := file.stat()).st_mode):
                        sizes[file.relative_to(base).as_posix()] = status.st_size
        return sizes
    remote, path = filesystem(url)
    if not remote.isdir(path):
        return {}
    prefix = path.rstrip("/") + "/"
    found = remote.find(path, detail=True)
    return {name.removeprefix(prefix): int(info["size"]) for name, info in found.items()}


def delete_file(url: str) -> None:
    """Delete a file, if it is there."""
    if is_local(url):
        Path(local_path(url)).unlink(missing_ok=True)
        return
    remote, path = filesystem(url)
    if remote.isfile(path):
        remote.rm_file(path)


def delete_folder(url: str) -> None:
    """Delete a folder with all that is in it, if it is there."""
    if is_local(url):
        if Path(local_path(url)).is_dir():
            shutil.rmtree(local_path(url))
        return
    remote, path = filesystem(url)
    if remote.isdir(path):
        remote.rm(path, recursive=True)


@dataclass(frozen=True)
class FileDigest:
    """Size in bytes and sha256 (hex) of a file."""

    size: int
    sha256: str


def digest_file(url: str, on_bytes: Callable[[int], object] | None = None) -> FileDigest:
    """Read a file and return its size and sha256; `on_bytes` is called with the size of each block that was read."""
    state = hashlib.sha256()
    size = 0
    with open_read(url) as file:
        while block := file.read(BLOCK_BYTES):
            state.update(block)
            size += len(block)
            if on_bytes is not None:
                on_bytes(len(block))
    return FileDigest(size, state.hexdigest())


def unwritable(url: str, error: OSError) -> StoreError:
    """Return the error that names a file which cannot be written."""
    reason = error.strerror or str(error)
    return StoreError(f"{url}: cannot be written ({reason}); make room, mend permissions or choose another folder")


class AtomicFile(io.RawIOBase):
    """A file that appears at its url, complete and hashed, when it is closed without an error.

    Example:
        >>> with AtomicFile(url) as file:
        ...     file.write(b"text")
        >>> file.digest.sha256
    """

    digest: FileDigest

    def __init__(self, url: str) -> None:
        super().__init__()
        self._state = hashlib.sha256()
        self._size = 0
        self._target = local_path(url) if is_local(url) else None
        self._url = url
        try:
            self._file = self._open()
        except OSError as error:
            raise unwritable(self._url, error) from error

    def _open(self) -> IO[bytes]:
        if self._target is None:
            remote, path = filesystem(self._url)
            return remote.open(path, "wb")
        target = Path(self._target)
        if target.exists() and not target.is_file():  # a rename would put a file in the place of a device
            raise OSError(errno.EINVAL, "it is there and is no regular file")
        target.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = target.with_name(f".{target.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp")
        return self._temporary.open("wb", buffering=WRITE_BUFFER_BYTES)

    def writable(self) -> bool:
        """Say that bytes may be written."""
        return True

    def write(self, data: Any) -> int:
        """Append bytes and hash them."""
        self._state.update(data)
        written = memoryview(data).nbytes
        self._size += written
        try:
            self._file.write(data)
        except OSError as error:
            raise unwritable(self._url, error) from error
        return written

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def close(self) -> None:
        """Finish the file and make it visible."""
        if self.closed:
            return
        try:
            if self._target is not None:
                self._file.flush()
                os.fsync(self._file.fileno())
            self._file.close()
            if self._target is not None:
                self._temporary.replace(self._target)
        except OSError as error:
            self.discard()
            raise unwritable(self._url, error) from error
        self.digest = FileDigest(self._size, self._state.hexdigest())
        super().close()

    def discard(self) -> None:
        """Give the file up; nothing appears at its url."""
        if self._target is not None:
            with suppress(OSError):  # what waits to be written finds no room either
                self._file.close()
            self._temporary.unlink(missing_ok=True)
        else:
            abort = getattr(self._file, "discard", None)
            if abort is not None:
                abort()
        super().close()


def write_bytes(url: str, data: bytes) -> FileDigest:
    """Write a whole file atomically and return its digest."""
    with AtomicFile(url) as file:
        file.write(data)
    return file.digest


def write_json(url: str, value: Any) -> FileDigest:
    """Write a JSON file, indented for people, keys in the order given."""
    return write_bytes(url, (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_json(url: str) -> Any:
    """Read a JSON file.

    Raises:
        StoreError: when the file is not JSON or may not be read.
    """
    try:
        return json.loads(read_bytes(url))
    except PermissionError as error:
        raise StoreError(f"{url}: cannot be read ({error.strerror}); mend its permissions") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{url}: not a JSON file ({error}); delete its folder and run the command again") from error


def link_or_copy(source: str, target: str) -> None:
    """Make `target` hold the bytes of `source`: a hard link where the file system has them, else a copy."""
    if is_local(source) and is_local(target):
        destination = Path(local_path(target))
        destination.parent.mkdir(parents=True, exist_ok=True)
        temporary = destination.with_name(f".{destination.name}.{os.getpid()}.tmp")
        try:
            temporary.unlink(missing_ok=True)
            try:
                os.link(local_path(source), temporary)
            except OSError:
                shutil.copyfile(local_path(source), temporary)
            temporary.replace(destination)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise unwritable(target, error) from error
        return
    with open_read(source) as reader, AtomicFile(target) as writer:
        while block := reader.read(BLOCK_BYTES):
            writer.write(block)
