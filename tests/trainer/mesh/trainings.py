"""A training in a process of its own: `glam train` with arguments, which also tells what it read.

    python trainings.py STOP_AFTER ARGUMENT …

After STOP_AFTER updates (0: never) it sends itself SIGTERM. The last line on stderr is a JSON object of what this
process read: `records`, how many of the shards, and `rows`, {batch: {row: sha256 of its tokens}}.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys

from glam import training
from glam.main import main
from trainer.batch import Batch
from trainer.data import Records, TrainingData

RECORDS: list[int] = []
ROWS: dict[int, dict[int, str]] = {}


def row_hashes(batch: Batch) -> list[str]:
    """Return the sha256 (hex) of the tokens of each row."""
    return [hashlib.sha256(row.tobytes()).hexdigest() for row in batch.inputs]


def count_reads() -> None:
    payload, batch = Records.payload, TrainingData.batch

    def counted(self: Records, number: int) -> bytes:
        RECORDS.append(number)
        return payload(self, number)

    def noted(self: TrainingData, step: int, part: slice = slice(None)) -> Batch:
        read = batch(self, step, part)
        rows = enumerate(row_hashes(read), part.start or 0)
        ROWS.setdefault(step, {}).update(rows)
        return read

    Records.payload, TrainingData.batch = counted, noted


def stop_after(steps: int) -> None:
    class Display(training.TerminalDisplay):
        def move(self, done: float, detail: str = "") -> None:
            super().move(done, detail)
            if detail.startswith(f"step {steps} "):
                os.kill(os.getpid(), signal.SIGTERM)

    training.TerminalDisplay = Display


if __name__ == "__main__":
    count_reads()
    if int(sys.argv[1]):
        stop_after(int(sys.argv[1]))
    sys.argv[1:] = ["train", *sys.argv[2:]]
    try:
        main()
    finally:
        print(json.dumps({"records": len(RECORDS), "rows": ROWS}), file=sys.stderr)
