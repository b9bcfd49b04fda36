"""TensorBoard events of a run, in RUN/tensorboard: what the lines of metrics.jsonl say, by tensorboardX.

In: lines of metrics (`trainer.metrics`). Out: one event an update, with all its scalars; at every report also a
histogram of each mixture layer's load, whose axis is the number of the expert. Layers are numbered as in the decoder,
so mixture layers are 0, 2, ….

A run that resumes or goes back writes the whole file again from the lines that are left, so that no reader sees an
update that is not part of the run; its first event tells a TensorBoard that is looking on to forget what it read. The
time of an event is when its update was made if the run had never been stopped.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import HistogramProto, Summary

SCALARS = {
    "loss": "loss/cross_entropy",
    "output_z": "loss/output_z",
    "auxiliary": "loss/auxiliary",
    "router_z": "loss/router_z",
    "learning_rate": "optimizer/learning_rate",
    "gradient_norm": "optimizer/gradient_norm",
    "skipped": "optimizer/skipped",
    "tokens": "progress/tokens",
    "input_seconds": "progress/input_seconds",
}
"""Tags by the key of a line."""


class TensorBoard:
    """Writes RUN/tensorboard."""

    def __init__(self, run_dir: str, report_every: int) -> None:
        self._folder, self._report_every = Path(run_dir) / "tensorboard", report_every
        self._writer: EventsWriter | None = None
        self._started: float | None = None

    def rewrite(self, records: Sequence[dict[str, Any]]) -> None:
        """Begin anew with these lines."""
        self.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        for old in self._folder.glob("*.tfevents.*"):
            old.unlink()
        if self._started is None:
            self._started = time.time() - (records[-1]["seconds"] if records else 0.0)
        self._writer = EventsWriter(str(self._folder / "events"))
        self._writer.write_event(Event(wall_time=self._started, session_log=SessionLog(status=SessionLog.START)))
        self.add(records)

    def add(self, records: Sequence[dict[str, Any]]) -> None:
        """Append lines."""
        assert self._writer is not None
        assert self._started is not None
        for record in records:
            values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars(record)]
            if record["step"] % self._report_every == 0:
                values += [Summary.Value(tag=tag, histo=_by_expert(load)) for tag, load in _loads(record)]
            moment = self._started + record["seconds"]
            self._writer.write_event(Event(wall_time=moment, step=record["step"], summary=Summary(value=values)))
        self._writer.flush()

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def scalars(record: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield tag and value of a line's scalars; what was not finite is left out."""
    for key, tag in SCALARS.items():
        if record[key] is not None:
            yield tag, float(record[key])
    for number, load in enumerate(record.get("load", ())):
        place = _layer(number)
        yield f"{place}/largest_load", max(load) * len(load)  # 1 when even
        yield f"{place}/dead_experts", record["dead"][number]
        for choice, share in zip(("first", "second"), record["dropped"][number], strict=False):
            yield f"{place}/dropped_{choice}", share
        if record["router_entropy"][number] is not None:
            yield f"{place}/router_entropy", record["router_entropy"][number]


def _loads(record: dict[str, Any]) -> Iterator[tuple[str, Sequence[float]]]:
    for number, load in enumerate(record.get("load", ())):
        yield f"{_layer(number)}/load", load


def _layer(mixture: int) -> str:
    """Return the name of a mixture layer: the number of its layer in the decoder."""
    return f"layer_{2 * mixture:02d}"


def _by_expert(load: Sequence[float]) -> HistogramProto:
    """Return a histogram in which expert e has the bucket up to e + 1/2."""
    experts = range(len(load))
    return HistogramProto(
        min=-0.5,
        max=len(load) - 0.5,
        num=sum(load),
        sum=sum(expert * share for expert, share in zip(experts, load, strict=True)),
        sum_squares=sum(expert**2 * share for expert, share in zip(experts, load, strict=True)),
        bucket_limit=[expert + 0.5 for expert in experts],
        bucket=list(load),
    )
