"""The metrics of a run: one JSON object a line in RUN/metrics.jsonl, one line for every update.

Keys of a line: `step` (updates done, from 1), `batch` (the number, from 0, of the batch it read), `tokens` (targets
learned from so far), `loss` (cross-entropy, nats), `output_z`, `auxiliary` and `router_z` (sums over layers),
`learning_rate`, `gradient_norm`, `skipped`, `seconds` (of the run so far), `input_seconds` (of these, those in which
the device had nothing to do because the next batch was not there); for a mixture model, by mixture layer:
`load` (share of each expert in all choices), `dropped` (share of the first and of the second choices), `dead`
(experts that no token chose), `router_entropy` (nats). A number that is not finite is null.

Lines appear when the run reports or keeps a checkpoint. A run that goes on from a checkpoint drops the lines after it
and writes them again. `trainer.tensorboard` shows the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.store.errors import GlamError
from pipelines.store.files import read_bytes, write_bytes

if TYPE_CHECKING:
    from trainer.step import StepMetrics  # imports JAX, which who only reads metrics does not need
    from trainer.tensorboard import TensorBoard


class MetricsFile:
    """Appends lines to RUN/metrics.jsonl, and shows the same lines on a TensorBoard."""

    def __init__(self, path: str, step: int, board: TensorBoard | None = None) -> None:
        """Open the file of a run that has done `step` updates, without the lines after that."""
        self._path, self._board = path, board
        self.records = [record for record in read_metrics(path) if record["step"] <= step]
        if len(self.records) != step:
            raise GlamError(
                f"{path}: has {len(self.records)} of the {step} lines before the last checkpoint; "
                "delete the run's folder and train again"
            )
        self.cut(step)

    def add(self, record: dict[str, Any]) -> None:
        """Take a line."""
        self.records.append(record)

    def cut(self, step: int) -> None:
        """Drop the lines after `step` updates."""
        self.records = self.records[:step]
        write_bytes(self._path, b"".join(_line(record) for record in self.records))
        if self._board is not None:
            self._board.rewrite(self.records)
        self._written = len(self.records)

    def flush(self) -> None:
        """Write the lines taken since the last time."""
        new = self.records[self._written :]
        with Path(self._path).open("ab") as file:
            file.write(b"".join(_line(record) for record in new))
        if self._board is not None:
            self._board.add(new)
        self._written = len(self.records)

    def close(self) -> None:
        """Finish what is open."""
        if self._board is not None:
            self._board.close()


def read_metrics(path: str) -> list[dict[str, Any]]:
    """Return the lines of a metrics file; none when it doesn't exist, and not a last line that a stop cut short."""
    if not Path(path).is_file():
        return []
    return [json.loads(line) for line in read_bytes(path).splitlines(keepends=True) if line.endswith(b"\n")]


def input_share(records: Sequence[dict[str, Any]]) -> float:
    """Return the share of the time between the first and the last of these lines in which the input starved the step;
    the first one's time has the compilation in it."""
    waited, seconds = (records[-1][key] - records[0][key] for key in ("input_seconds", "seconds"))
    return waited / seconds if seconds > 0 else 0.0


def to_record(
    metrics: StepMetrics, step: int, batch: int, tokens_before: int, seconds: float, input_seconds: float
) -> dict[str, Any]:
    """Return the line of one update."""
    record: dict[str, Any] = {
        "step": step,
        "batch": batch,
        "tokens": tokens_before + int(metrics.tokens),
        "loss": _number(metrics.losses.cross_entropy),
        "output_z": _number(metrics.losses.output_z),
        "auxiliary": _number(metrics.losses.auxiliary),
        "router_z": _number(metrics.losses.router_z),
        "learning_rate": _number(metrics.learning_rate),
        "gradient_norm": _number(metrics.gradient_norm),
        "skipped": bool(metrics.skipped),
        "seconds": round(seconds, 3),
        "input_seconds": round(input_seconds, 3),
    }
    if metrics.routers is not None:
        counts = metrics.routers.counts
        load, dropped = np.asarray(counts.load), np.asarray(counts.dropped)
        by_choice = np.maximum(load.sum(axis=2), 1)
        by_expert = load.sum(axis=1)
        record["load"] = _shares(by_expert / np.maximum(by_expert.sum(axis=1, keepdims=True), 1))
        record["dropped"] = _shares(dropped / by_choice)
        record["dead"] = (by_expert == 0).sum(axis=1).tolist()
        record["router_entropy"] = [_number(value) for value in np.asarray(counts.entropy)]
    return record


def _number(value: Any) -> float | None:
    """Return the shortest decimal that stands for a float32, or None."""
    return float(str(np.float32(value))) if math.isfinite(value) else None


def _shares(values: np.ndarray) -> list[list[float]]:
    return [[round(float(value), 5) for value in row] for row in values]


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":"), allow_nan=False).encode() + b"\n"
