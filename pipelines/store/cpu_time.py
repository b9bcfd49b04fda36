"""CPU time that this process and all below it used so far, those still running too.

The kernel adds a child to its parent's account only once it has ended and was waited for; a process that lives as
long as its worker, such as the one for large pages, would not be on the bill. Where there is no `/proc` (other systems
than Linux) such a process is counted when it has ended.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

_PARENT, _TIMES = 1, slice(11, 15)
"""Fields of /proc/PID/stat after the name: the parent, and user and system ticks, own and of children waited for."""


def cpu_seconds() -> float:
    """Return user and system seconds of this process and its descendants."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    ended = sum(part.ru_utime + part.ru_stime for part in used)
    return ended + _running_ticks() / os.sysconf("SC_CLK_TCK")


def _running_ticks() -> int:
    """Return the ticks of the descendants that are running."""
    ticks: dict[int, int] = {}
    below: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        process = int(path.parent.name)
        below.setdefault(int(fields[_PARENT]), []).append(process)
        ticks[process] = sum(map(int, fields[_TIMES]))
    waiting, total = list(below.get(os.getpid(), ())), 0
    while waiting:
        process = waiting.pop()
        total += ticks[process]
        waiting += below.get(process, ())
    return total
