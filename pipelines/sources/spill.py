"""Sorting more than memory holds, for readers whose records belong together but lie far apart in a file.

In: (key, value) pairs in any order. Out: the same pairs by key. Memory: `buffer_bytes` of values as their sizes are
given, and one value for each of at most `FAN_IN` runs a level; what is more lies in temporary files (in `TMPDIR`),
which have no name and vanish with the process. Little input never touches the disk.
"""

from __future__ import annotations

import heapq
import pickle
import tempfile
from collections.abc import Iterable, Iterator
from operator import itemgetter
from types import TracebackType
from typing import IO, Any, Self

from pipelines.sources.errors import SourceError

BUFFER_BYTES = 32 << 20
FAN_IN = 32
_ENTRY_BYTES = 200
"""About what Python needs for a pair beside its value."""

Entry = tuple[tuple[Any, ...], Any]
_key = itemgetter(0)


class SortedSpill:
    """Collects pairs, then yields them by key; no two keys may be equal.

    Example:
        >>> with SortedSpill() as spill:
        ...     spill.add((7, 1), "answer", size=6)
        ...     spill.add((7, 0), "question", size=8)
        ...     [value for _, value in spill.drain()]
        ['question', 'answer']
    """

    def __init__(self, buffer_bytes: int = BUFFER_BYTES, fan_in: int = FAN_IN) -> None:
        self._buffer_bytes = buffer_bytes
        self._fan_in = fan_in
        self._buffer: list[Entry] = []
        self._size = 0
        self._levels: list[list[IO[bytes]]] = []

    @property
    def runs(self) -> int:
        """Number of temporary files that are open."""
        return sum(map(len, self._levels))

    def add(self, key: tuple[Any, ...], value: Any, size: int) -> None:
        """Take a pair; `size` is about the bytes of the value."""
        self._buffer.append((key, value))
        self._size += size + _ENTRY_BYTES
        if self._size > self._buffer_bytes:
            self._keep(self._take_buffer(), level=0)

    def drain(self) -> Iterator[Entry]:
        """Yield all pairs by key; none is left afterwards."""
        runs = [_read(run) for level in self._levels for run in level]
        yield from heapq.merge(self._take_buffer(), *runs, key=_key)
        self.close()

    def _take_buffer(self) -> list[Entry]:
        entries = sorted(self._buffer, key=_key)
        self._buffer, self._size = [], 0
        return entries

    def _keep(self, entries: Iterable[Entry], level: int) -> None:
        """Write sorted pairs as a run; a level that is full becomes one run of the next."""
        if level == len(self._levels):
            self._levels.append([])
        self._levels[level].append(_write(entries))
        if len(self._levels[level]) == self._fan_in:
            full, self._levels[level] = self._levels[level], []
            self._keep(heapq.merge(*map(_read, full), key=_key), level + 1)
            for run in full:
                run.close()

    def close(self) -> None:
        """Give up what is left."""
        for level in self._levels:
            for run in level:
                run.close()
        self._buffer, self._size, self._levels = [], 0, []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _write(entries: Iterable[Entry]) -> IO[bytes]:
    try:
        run = tempfile.TemporaryFile(prefix="glam-")  # noqa: SIM115  (closed with the spill)
        for entry in entries:
            pickle.dump(entry, run, protocol=pickle.HIGHEST_PROTOCOL)
        run.flush()
    except OSError as error:
        raise SourceError(
            f"{tempfile.gettempdir()}: a temporary file cannot be written ({error.strerror}); "
            "make room, or name another folder in the environment variable TMPDIR"
        ) from error
    return run


def _read(run: IO[bytes]) -> Iterator[Entry]:
    run.seek(0)
    while True:
        try:
            yield pickle.load(run)
        except EOFError:
            return
