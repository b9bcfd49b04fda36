"""All benchmarks one after the other, one table at the end: `make bench`.

    python benchmarks/all.py [--only NAME ...] [--json]

Each script runs in a process of its own with `--json`. Above the table stand machine, commit and command. Exit code: 0
where every goal holds, else 1; a script that failed is a row that says so. A peer that is not installed is a row of its
benchmark. $GLAM_CORPUS gives the text; without it the text of the `demo` extra is taken.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from figures import Figure, show
from rich.console import Console

BENCHMARKS = (
    "extraction_quality",
    "warc_to_documents",
    "deduplication",
    "decontamination",
    "quality_scoring",
    "tokenize_pack",
    "warc_to_tfrecord",
    "stage_rates",
    "memory",
    "loader",
    "mixture_layer",
    "training_step",
    "evaluation",
    "damaged_input",
    "answers",
)
"""The scripts in the order of the data's way."""

FOLDER = Path(__file__).parent
console = Console(stderr=True, highlight=False)


def measure(name: str) -> list[Figure]:
    """Run one benchmark; a script that fails, or prints no figures, gives one row that does not hold."""
    script = FOLDER / f"{name}.py"
    started = time.monotonic()
    console.print(f"{name}: {script.name} ...")
    run = subprocess.run([sys.executable, script, "--json"], stdout=subprocess.PIPE, text=True, check=False)
    lines = run.stdout.splitlines()
    console.print(f"{name}: {time.monotonic() - started:.0f} s")
    try:
        figures = [Figure(**entry) for entry in json.loads(lines[-1])] if run.returncode == 0 and lines else []
    except (TypeError, ValueError):
        figures = []
    failed = f"exit code {run.returncode}" if run.returncode else "no figures on the last line of stdout"
    return figures or [Figure(name, "the script", 0.0, "", "runs", False, failed)]


def machine() -> str:
    """Return processor, cores, memory and Python of this machine."""
    info = Path("/proc/cpuinfo")
    models = [line.split(":", 1)[1].strip() for line in _lines(info) if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    processor = models[0] if models else platform.machine()
    return f"{processor}, {os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}"


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def commit() -> str:
    """Return the commit that was measured, marked where files differ from it."""
    command = ["git", "-C", str(FOLDER), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "not in a git checkout"


def main() -> int:
    """Run the benchmarks and print the table; return the exit code."""
    parser = argparse.ArgumentParser(description="Run the benchmarks one after the other and print one table.")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, metavar="NAME", help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument("--json", action="store_true", help="one JSON list on the last line of stdout")
    arguments = parser.parse_args()
    chosen = [name for name in BENCHMARKS if name in (arguments.only or BENCHMARKS)]
    figures = [figure for name in chosen for figure in measure(name)]
    heading = f"machine: {machine()}\ncommit:  {commit()}\ncommand: {' '.join(['python', *sys.argv])}"
    print(heading, file=sys.stderr if arguments.json else sys.stdout)
    show(figures, ["--json"] if arguments.json else [])
    missed = [figure for figure in figures if figure.holds is False]
    for figure in missed:
        console.print(f"does not hold: {figure.benchmark}, {figure.subject}: {figure.value:,.4g} {figure.goal}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
