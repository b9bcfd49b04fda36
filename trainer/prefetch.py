"""Reads batches ahead of the step, in a thread: the next ones while the device works on this one.

In: a function from the number of a batch to the batch. Out: the same batches; what was read ahead in vain, because the
run passed over it, is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class ReadAhead(Generic[T]):
    """Batches by number, the next `depth` of them read before they are asked for."""

    def __init__(self, read: Callable[[int], T], depth: int = 2) -> None:
        self._read, self._depth = read, depth
        self._pool = ThreadPoolExecutor(1, "batches")
        self._waiting: dict[int, Future[T]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __call__(self, number: int) -> T:
        """Return a batch; an error of reading it is raised here."""
        wanted = range(number, number + 1 + self._depth)
        for gone in set(self._waiting) - set(wanted):
            self._waiting.pop(gone).cancel()
        for ahead in wanted:
            if ahead not in self._waiting:
                self._waiting[ahead] = self._pool.submit(self._read, ahead)
        return self._waiting.pop(number).result()
