"""A run in a process of its own, its peak memory, and programs measured side by side.

A script calls `run_alone` with its own path; the process that starts does one piece of work and prints a JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def peak_mib() -> float:
    """Return the most memory that this process ever held, in MiB.

    Not `ru_maxrss`: that begins with what the process that started this one held.
    """
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024


def run_alone(script: str, *arguments: str) -> dict[str, Any]:
    """Run a script in a process of its own and return the object on the last line of its stdout."""
    said = subprocess.run([sys.executable, script, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout
    return dict(json.loads(said.splitlines()[-1]))


def least_cpu_seconds(programs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the least CPU seconds of each program over the rounds, each round one call of every program in turn.

    The first call of each, which compiles, is not counted. Least, not mean: whatever else the machine does can only
    add to a program's CPU seconds.
    """
    for program in programs.values():
        program()
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            start = time.process_time()
            program()
            seconds[name].append(time.process_time() - start)
    return {name: min(taken) for name, taken in seconds.items()}
