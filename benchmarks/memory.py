"""Peak memory of every stage at a number of documents and at ten times as many.

    python benchmarks/memory.py [--pages 600] [--json]

The pages are those of web_pages.py; ten times as many are the same pages ten times with other words, in files of equal
size, so that no page is larger than before. The shards of documents are ten times as many too. The models are given.
Each stage runs in a process of its own, in which everything before it is found in the store; its peak is the most
that this process held, Python, libraries and models included. A stage without a shuffle, or whose shuffle goes through
files, is held to 30 % more at ten times the documents. The others send hashes and ids between workers; on one machine
Beam's runner keeps what is sent in memory, on a cluster the shuffle service does.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from figures import Figure, show
from measuring import peak_mib, run_alone
from warc_to_tfrecord import train_models, web_config
from web_pages import write_pages

from pipelines.build import STEPS, build
from pipelines.progress import SilentDisplay

NAME = "memory"
FACTOR = 10
GOAL = 1.3
FILES = 2
SHUFFLING = {
    "deduplicate": "sends packed hashes",
    "holdout": "sends 32 bytes a document",
    "sample": "sends 32 bytes a document",
}
"""The stages that send something through memory, and what."""


def measure(folder: Path, part: str, shards: int, step: str) -> dict[str, Any]:
    """Build until `step`, which is not yet in the store; return the peak of this process."""
    made = build(web_config(folder / part, folder, shards), str(folder / f"{part}-store"), [], SilentDisplay(), step)
    last = made.stages[-1] if made.stages else None
    return {"peak_mib": peak_mib(), "computed": step == "mix" or (last is not None and not last.reused)}


def peaks(folder: Path, part: str, shards: int) -> dict[str, float]:
    """Return the peak of each step in MiB, one process after the other; not of those that had nothing to do."""
    runs = {step: run_alone(__file__, "--measure", str(folder), part, str(shards), step) for step in STEPS}
    return {step: run["peak_mib"] for step, run in runs.items() if run["computed"]}


def compare(folder: Path, pages: int) -> list[Figure]:
    """Measure every step at both sizes."""
    small, large = peaks(folder, "small", FILES), peaks(folder, "large", FACTOR * FILES)
    figures = []
    for step, peak in large.items():
        ratio = peak / small[step]
        note = f"{small[step]:.0f} MiB at {pages:,} pages, {peak:.0f} at {FACTOR * pages:,}"
        if step in SHUFFLING:
            figures.append(Figure(NAME, f"{step}, {SHUFFLING[step]}", ratio, "times", note=note))
        else:
            figures.append(Figure(NAME, step, ratio, "times", f"<= {GOAL}", ratio <= GOAL, note))
    return figures


def main() -> None:
    """Read the arguments and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=600, help="at the smaller size")
    parser.add_argument("--json", action="store_true", help="print one JSON list")
    parser.add_argument("--measure", nargs=4, metavar=("FOLDER", "PART", "SHARDS", "STEP"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        folder, part, shards, step = arguments.measure
        print(json.dumps(measure(Path(folder), part, int(shards), step)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder, pages = Path(name), arguments.pages
        train_models(folder)
        write_pages(folder / "small", pages, -(-pages // FILES))
        write_pages(folder / "large", FACTOR * pages, -(-pages // FILES), different=pages)
        show(compare(folder, pages))


if __name__ == "__main__":
    main()
