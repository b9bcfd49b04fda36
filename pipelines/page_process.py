"""Pages are extracted here in the worker, or in a process beside it where native code might take long or crash.

A page of at most `MAX_TAGS_HERE` tags and `MAX_BYTES_HERE` bytes costs some 2 CPU seconds at worst (docs/extraction.md)
and is extracted at once. Any other goes to a process that lives as long as the worker's thread, so that no page can
hold
the worker up or take it down: past `max_seconds` of its CPU time the kernel ends it, as does a crash or want of memory;
the next page gets a new one. It is CPU time, not the clock, so a busy machine makes no page slow. Still, `too_slow`
is the one outcome that depends on the machine; `max_seconds` 0 sets no limit.

The two speak through a `multiprocessing.connection`: (payload, charset, limits) in, `Page` or `Failure` out.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import weakref
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

from pipelines.html import NestedTooDeep, Page, extract_page

MAX_TAGS_HERE = 4_000
MAX_BYTES_HERE = 1 << 18
MAX_PROCESS_BYTES = 4 << 30
"""Address space of the process; the largest page of 16 MiB that passes the other limits takes a fraction."""

NESTED_TOO_DEEP = "nested_too_deep"
TOO_SLOW = "too_slow"
CRASHED = "crashed"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no page: one of the reasons above, and what happened, for people."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class PageLimits:
    """Limits of one page.

    Attributes:
        max_nesting: of its elements.
        max_seconds: CPU time in the process beside; 0: none.
        max_bytes: address space of that process.
    """

    max_nesting: int
    max_seconds: int
    max_bytes: int = MAX_PROCESS_BYTES


def extract_within(payload: bytes, charset: str | None, limits: PageLimits) -> Page | Failure:
    """Extract a page, here or in the process beside; `charset` is that of the HTTP header."""
    if len(payload) <= MAX_BYTES_HERE and payload.count(b"<") <= MAX_TAGS_HERE:
        return _extract(payload, charset, limits)
    return _process().extract(payload, charset, limits)


def _extract(payload: bytes, charset: str | None, limits: PageLimits) -> Page | Failure:
    try:
        return extract_page(payload, charset, limits.max_nesting)
    except NestedTooDeep as error:
        return Failure(NESTED_TOO_DEEP, str(error))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of native code is no `Exception`
        return Failure(CRASHED, f"{type(error).__name__}: {error}")


_COMMAND = "import sys; from pipelines.page_process import serve; serve(int(sys.argv[1]))"


class _PageProcess:
    """The process beside one thread; started when it is first needed, and again after it died."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._connection: Connection | None = None

    def extract(self, payload: bytes, charset: str | None, limits: PageLimits) -> Page | Failure:
        connection = self._connection or self._start()
        try:
            connection.send((payload, charset, limits))
            result: Page | Failure = connection.recv()
        except (EOFError, ConnectionError):
            return self._cause_of_death(limits)
        return result

    def _start(self) -> Connection:
        ours, theirs = Pipe()
        path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _COMMAND, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=os.environ | {"PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self._connection = ours
        self._stop = weakref.finalize(self, _stop, ours, self._process)
        return ours

    def _cause_of_death(self, limits: PageLimits) -> Failure:
        self._stop()
        self._connection = None
        code = self._process.returncode
        if code == -signal.SIGXCPU:
            return Failure(TOO_SLOW, f"not extracted within {limits.max_seconds} CPU seconds")
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return Failure(CRASHED, f"the process that extracted the page ended with {name}")


def _stop(connection: Connection, process: subprocess.Popen[bytes]) -> None:
    connection.close()
    process.wait()


_here = threading.local()


def _process() -> _PageProcess:
    """Return this thread's process; a forked worker does not share that of its parent."""
    found: _PageProcess | None = getattr(_here, "process", None)
    if found is None or found.owner != os.getpid():
        found = _here.process = _PageProcess()
    return found


def _limit(kind: int, value: int) -> None:
    """Lower a limit of this process, as far as its environment allows."""
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def serve(descriptor: int) -> None:
    """Be the process beside: extract pages until the worker closes the connection, one end of which is `descriptor`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the worker's, and ends this process by the connection
    _limit(resource.RLIMIT_CORE, 0)
    connection = Connection(descriptor)
    while True:
        try:
            payload, charset, limits = connection.recv()
        except EOFError:
            return
        usage = resource.getrusage(resource.RUSAGE_SELF)
        _limit(resource.RLIMIT_AS, limits.max_bytes)
        seconds = int(usage.ru_utime + usage.ru_stime) + 1 + limits.max_seconds
        _limit(resource.RLIMIT_CPU, seconds if limits.max_seconds else resource.RLIM_INFINITY)
        connection.send(_extract(payload, charset, limits))
