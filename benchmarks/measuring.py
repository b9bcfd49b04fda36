"""A run in a process of its own, and its peak memory.

A script calls `run_alone` with its own path; the process that starts does one piece of work and prints a JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys
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
