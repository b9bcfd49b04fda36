"""A training in a process of its own: `glam train` with arguments, which also tells what it read.

    python trainings.py STOP_AFTER ARGUMENT …

After STOP_AFTER updates (0: never) it sends itself SIGTERM. The last line on stderr is the records read, of the
whole dataset version, by this process.
"""

from __future__ import annotations

import os
import signal
import sys

from glam import training
from glam.main import main
from trainer.data import Records

READ: list[int] = []


def count_reads() -> None:
    payload = Records.payload

    def counted(self: Records, number: int) -> bytes:
        READ.append(number)
        return payload(self, number)

    Records.payload = counted


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
        print(f"records read: {len(READ)}", file=sys.stderr)
