"""The sha256 of input files, remembered in the store, so that a build of unchanged terabytes does not read them again.

A digest is believed as long as the file system says the same of its file. Of a local file that is size, time of the
last change of its content and of its inode (both in nanoseconds; nobody can set the latter back), inode and device. Of
an object it is its size and its etag, generation or version. Where a file system has none of these, and of a file that
was changed less than two seconds before it was read, or while it was read, nothing is remembered. What this cannot
see: content that the disk itself lost, and a clock that was set back. `glam build --rehash` reads everything anew.

In: urls. Out: `STORE/inputs/digests.jsonl`, a line a file (docs/formats.md, "The store").
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from pipelines.store.files import digest_file, exists, filesystem, is_local, join, local_path, read_bytes, write_bytes

SETTLED_NANOSECONDS = 2 * 10**9
"""Age from which on a change of a file cannot share its time stamp with a later one."""

_OBJECT_FACTS = ("ETag", "etag", "generation", "VersionId", "md5Hash")

Signature = list[Any]


def signature_of(url: str) -> Signature | None:
    """Return what the file system says of a file, None where that does not tell its contents apart."""
    if is_local(url):
        status = Path(local_path(url)).stat()
        return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev]
    remote, path = filesystem(url)
    info = remote.info(path)
    facts = [str(info[name]) for name in _OBJECT_FACTS if info.get(name)]
    return [int(info["size"]), *facts] if facts else None


class InputDigests:
    """Digests of input files.

    Args:
        store_url: the store that remembers them.
        distrust: whether to read every file, whatever is remembered.
    """

    def __init__(self, store_url: str, distrust: bool = False) -> None:
        self._url = join(store_url, "inputs", "digests.jsonl")
        self._known = _read(self._url)
        self._believed = {} if distrust else dict(self._known)
        self._changed = False

    def remembered(self, url: str) -> str | None:
        """Return the sha256 (hex) of a file if it is known and the file is what it was, else None."""
        entry = self._believed.get(_name(url))
        return entry["sha256"] if entry is not None and entry["signature"] == signature_of(url) else None

    def read(self, url: str) -> str:
        """Read a file, and return and remember its sha256 (hex)."""
        before = signature_of(url)
        sha256 = digest_file(url).sha256
        if before is not None and before == signature_of(url) and _settled(url, before):
            self._known[_name(url)] = {"path": _name(url), "signature": before, "sha256": sha256}
            self._changed = True
        return sha256

    def save(self) -> None:
        """Write what was read; of two builds that save at once one is remembered, and the other's files read again."""
        if self._changed:
            lines = [json.dumps(entry, ensure_ascii=False) + "\n" for _, entry in sorted(self._known.items())]
            write_bytes(self._url, "".join(lines).encode("utf-8", "surrogateescape"))


def _settled(url: str, signature: Signature) -> bool:
    return not is_local(url) or time.time_ns() - max(signature[1:3]) >= SETTLED_NANOSECONDS


def _name(url: str) -> str:
    return os.path.abspath(local_path(url)) if is_local(url) else url  # noqa: PTH100 - links are kept as they are


def _read(url: str) -> dict[str, dict[str, Any]]:
    """Return the lines of the file by path, without damaged ones."""
    if not exists(url):
        return {}
    known = {}
    for line in read_bytes(url).decode("utf-8", "surrogateescape").splitlines():
        try:
            entry = json.loads(line)
            known[str(entry["path"])] = {name: entry[name] for name in ("path", "signature", "sha256")}
        except (KeyError, TypeError, ValueError):
            continue
    return known
