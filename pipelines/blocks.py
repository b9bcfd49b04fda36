"""Blocks: packed rows on their way from the step that makes them to the step that writes their shard.

Beam's runner on one machine keeps what is sent between steps in memory, several times over. There a block lies in a
file meanwhile, and what is sent is its place. Everywhere else the engine's own shuffle carries the bytes.

A spill folder is called `blocks-HOST-PROCESS-…`; one whose process is gone was left by a killed build.
"""

from __future__ import annotations

import re
import socket
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from os import getpid
from pathlib import Path
from typing import TypeAlias

from pipelines.store.files import delete_folder, is_local, join, list_folders, local_path, unwritable
from pipelines.store.leases import process_is_gone

Block: TypeAlias = bytes | tuple[str, int, int]
"""The bytes of a block, or (file, start, length)."""


class Blocks:
    """Sends and receives blocks; workers get copies of it.

    Args:
        folder: where blocks are spilled; None where their bytes are sent.
    """

    def __init__(self, folder: str | None = None) -> None:
        self._folder = folder

    def sent(self, blocks: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, Block]]:
        """Yield (address, what is sent) for each (address, bytes); all blocks of a call lie in one file.

        Raises:
            StoreError: when the file cannot be written.
        """
        if self._folder is None or not (waiting := list(blocks)):
            yield from blocks
            return
        path, start = Path(self._folder) / uuid.uuid4().hex, 0
        try:
            path.write_bytes(b"".join(data for _, data in waiting))
        except OSError as error:
            raise unwritable(str(path), error) from error
        for address, data in waiting:
            yield address, (path.name, start, len(data))
            start += len(data)

    def received(self, blocks: Iterable[Block]) -> Iterator[bytes]:
        """Yield the bytes of each block."""
        for block in blocks:
            if isinstance(block, bytes):
                yield block
                continue
            name, start, length = block
            assert self._folder is not None
            with (Path(self._folder) / name).open("rb") as file:
                file.seek(start)
                yield file.read(length)


@contextmanager
def spilled(store_url: str) -> Iterator[Blocks]:
    """Spill blocks into the store's folder, or a temporary one where the store isn't on this machine."""
    if not is_local(store_url):
        with tempfile.TemporaryDirectory(prefix="glam-blocks-") as folder:
            yield Blocks(folder)
        return
    jobs = join(store_url, "jobs")
    _delete_left_behind(jobs)
    folder = join(jobs, f"blocks-{socket.gethostname()}-{getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        Path(local_path(folder)).mkdir(parents=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        yield Blocks(local_path(folder))
    finally:
        delete_folder(folder)


def _delete_left_behind(jobs: str) -> None:
    """Delete the spill folders of this machine's builds that were killed."""
    ours = re.compile(rf"blocks-{re.escape(socket.gethostname())}-(\d+)-[0-9a-f]+")
    for name in list_folders(jobs):
        if (match := ours.fullmatch(name)) and process_is_gone(int(match[1])):
            with suppress(FileNotFoundError):  # another build deletes it too
                delete_folder(join(jobs, name))
