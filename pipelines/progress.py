"""Progress of long work: rate and time left, on a terminal as a moving line, elsewhere as a line every few seconds.

Workers of a job count what they did with `report`; where they run on this machine (in this process or in others) the
driver sees it through small files in a folder that `Watch` names in the environment. On a remote engine `report` does
nothing, and `Watch` asks whoever knows.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

FOLDER_VARIABLE = "GLAM_PROGRESS_FOLDER"
_FLUSH_SECONDS = 0.2
_POLL_SECONDS, _POLL_ELSEWHERE_SECONDS = 0.2, 2.0


class Display(Protocol):
    """Shows what is going on, on stderr."""

    def say(self, text: str) -> None:
        """Show a line that stays."""

    def start(self, label: str, total: int | None, unit: str, done: float = 0) -> None:
        """Begin a step of `total` units (None: not known), of which `done` were done before."""

    def move(self, done: float, detail: str = "") -> None:
        """Say that `done` units of the step are done in all."""

    def finish(self) -> None:
        """End the step."""


def format_count(number: float, unit: str) -> str:
    """Return a number with three digits and a unit, e.g. `1.25M documents`."""
    for limit, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g}{suffix} {unit}"
    return f"{number:.3g} {unit}"


def format_seconds(seconds: float) -> str:
    """Return a duration as `4.2 s`, `3:05 min` or `2:10:00 h`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d} h"


class TerminalDisplay:
    """A display on stderr: a line that is redrawn on a terminal, a new line every `interval` seconds elsewhere."""

    def __init__(self, interval: float = 5.0) -> None:
        self._terminal = sys.stderr.isatty()
        self._interval = 0.1 if self._terminal else interval
        self._label = ""

    def say(self, text: str) -> None:
        """Show a line that stays."""
        self._clear()
        print(text, file=sys.stderr, flush=True)

    def start(self, label: str, total: int | None, unit: str, done: float = 0) -> None:
        """Begin a step."""
        self._label, self._total, self._unit, self._before = label, total, unit, done
        self._started = self._shown = time.monotonic()

    def move(self, done: float, detail: str = "") -> None:
        """Show how far the step is, at most once in an interval."""
        now = time.monotonic()
        if not self._label or now - self._shown < self._interval:
            return
        self._shown = now
        elapsed = now - self._started
        if not self._total and not done:
            self._show(f"  {self._label}: {format_seconds(elapsed)} so far")
            return
        rate = (done - self._before) / elapsed
        parts = [f"  {self._label}: {format_count(done, self._unit)}"]
        if self._total:
            parts[0] += (
                f" of {format_count(self._total, '').strip()} ({100 * min(done, self._total) / self._total:.0f} %)"
            )
        parts.append(f"{format_count(rate, self._unit)}/s")
        if self._total and rate:
            parts.append(f"{format_seconds(max(self._total - done, 0) / rate)} left")
        self._show(", ".join(parts) + (f", {detail}" if detail else ""))

    def _show(self, line: str) -> None:
        if self._terminal:
            print(f"\r\x1b[2K{line[:200]}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def finish(self) -> None:
        """End the step and clear its line."""
        self._clear()
        self._label = ""

    def _clear(self) -> None:
        if self._terminal:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)


class SilentDisplay:
    """A display that shows nothing."""

    def say(self, text: str) -> None:
        """Show nothing."""

    def start(self, label: str, total: int | None, unit: str, done: float = 0) -> None:
        """Show nothing."""

    def move(self, done: float, detail: str = "") -> None:
        """Show nothing."""

    def finish(self) -> None:
        """Show nothing."""


class Sum:
    """Adds up what several threads of this process did, and shows the sum on a display."""

    def __init__(self, display: Display) -> None:
        self._display, self._done, self._lock = display, 0, threading.Lock()

    def __call__(self, units: int) -> None:
        """Count `units` more."""
        with self._lock:
            self._done += units
            self._display.move(self._done)


_done = 0
_flushed = 0.0
_lock = threading.Lock()


def report(units: int) -> None:
    """Count `units` of work done by this process (see `Watch`)."""
    global _done, _flushed
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        return
    with _lock:
        _done += units
        now = time.monotonic()
        if now - _flushed >= _FLUSH_SECONDS:
            _flushed = now
            _write_count(folder)


def _write_count(folder: str) -> None:
    try:
        Path(folder, str(os.getpid())).write_text(str(_done))
    except OSError:
        os.environ.pop(FOLDER_VARIABLE, None)  # the driver is gone or elsewhere: there is nobody to tell


class Watch:
    """Shows on a display what this process and the processes it starts `report` while the context is open.

    Args:
        display: where.
        label: of the step.
        total: units in all, if known.
        unit: its name.
        elsewhere: tells what is done, and a detail, of a step whose workers are not here.
    """

    def __init__(
        self,
        display: Display,
        label: str,
        total: int | None,
        unit: str,
        elsewhere: Callable[[], tuple[int, str]] | None = None,
    ) -> None:
        self._display, self._label, self._total, self._unit = display, label, total, unit
        self._elsewhere = elsewhere

    def __enter__(self) -> Self:
        global _done, _flushed
        _done, _flushed = 0, 0.0
        self._folder = tempfile.TemporaryDirectory(prefix="glam-progress-")
        os.environ[FOLDER_VARIABLE] = self._folder.name
        self._display.start(self._label, self._total, self._unit)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()
        return self

    def _poll(self) -> None:
        if self._elsewhere is None:
            while not self._stop.wait(_POLL_SECONDS):
                self._display.move(self._sum())
        else:
            while not self._stop.wait(_POLL_ELSEWHERE_SECONDS):
                self._display.move(*self._elsewhere())

    def _sum(self) -> int:
        total = 0
        for path in Path(self._folder.name).iterdir():
            text = path.read_text()
            total += int(text) if text.isdigit() else 0
        return total

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        os.environ.pop(FOLDER_VARIABLE, None)
        self._folder.cleanup()
        self._display.finish()
