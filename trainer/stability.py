"""When a run goes back to a healthy checkpoint and passes over the batches that harmed it. Importing it imports no JAX.

In: the lines of metrics up to an update, settings. Out: a `Trouble` at that update, or None; it is a function of those
lines alone, so a run that was stopped decides as one that was not.

A *spike* is a loss that lies more than `deviations` robust standard deviations (1.4826 times the median absolute
deviation) above the median of the `window` losses before it, `patience` updates in a row. Weights that are not finite
show as `skipped` updates, `patience` in a row: a single bad batch is skipped, and everything stays as it was. The
paper skips updates that are not finite and returns to a healthy checkpoint; when, it leaves open.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.store.files import read_bytes, write_bytes
from trainer.config import StabilitySettings

NORMAL_CONSISTENCY = 1.4826
"""Median absolute deviation times this estimates the standard deviation of a normal distribution."""

LEAST_DEVIATION = 1e-3
"""Relative to the median: losses that hardly move at all must not make every move a spike."""


class Trouble(NamedTuple):
    """What is wrong after an update.

    Attributes:
        step: updates done when it showed.
        reason: `spike` or `not_finite`.
        deviations: of the last loss above the median; None where it is not finite.
    """

    step: int
    reason: str
    deviations: float | None


class RollBack(NamedTuple):
    """A decision: a line of RUN/events.jsonl.

    Attributes:
        number: of the run's roll-backs, from 1.
        reason: `spike` or `not_finite`.
        step: updates done when it was decided.
        to_step: updates done in the checkpoint that the run goes on from.
        passed: batches that the run has passed over so far: update n reads batch n − 1 + passed.
        deviations: see `Trouble`.
    """

    number: int
    reason: str
    step: int
    to_step: int
    passed: int
    deviations: float | None


def find_trouble(records: Sequence[dict[str, Any]], settings: StabilitySettings) -> Trouble | None:
    """Return what is wrong after the last of these lines of metrics, if anything is."""
    patience = settings.patience
    last, before = records[-patience:], records[:-patience]
    if len(last) < patience:
        return None
    if all(record["skipped"] for record in last):
        return Trouble(last[-1]["step"], "not_finite", None)
    window = [record["loss"] for record in before[-settings.window :] if record["loss"] is not None]
    if len(window) < settings.window or any(record["loss"] is None for record in last):
        return None
    median = statistics.median(window)
    spread = NORMAL_CONSISTENCY * statistics.median(abs(loss - median) for loss in window)
    spread = max(spread, LEAST_DEVIATION * abs(median))
    deviations = [(record["loss"] - median) / spread for record in last]
    if min(deviations) <= settings.deviations:
        return None
    return Trouble(last[-1]["step"], "spike", round(deviations[-1], 2))


def healthy_step(trouble: Trouble, kept: Sequence[int], every: int, settings: StabilitySettings) -> int:
    """Return the updates done in the checkpoint to go back to, or 0 for the start.

    It is the newest regular one that `healthy_after` updates without trouble have followed: a checkpoint that a signal
    made is none, so that a run that was stopped goes back to where one that was not does.
    """
    first_of_trouble = trouble.step - settings.patience + 1
    regular = [step for step in kept if every and step % every == 0]
    return max((step for step in regular if step + settings.healthy_after <= first_of_trouble), default=0)


class EventLog:
    """The decisions of a run, RUN/events.jsonl, a line each."""

    def __init__(self, path: str, decided: int) -> None:
        """Open the log of a run that goes on after `decided` roll-backs; later ones will be decided again."""
        self._path = path
        self.roll_backs = read_events(path)[:decided]
        self._write()

    def add(self, event: RollBack) -> None:
        """Write a decision."""
        self.roll_backs.append(event)
        self._write()

    def _write(self) -> None:
        if self.roll_backs or Path(self._path).exists():
            lines = (json.dumps({"event": "roll_back", **event._asdict()}) + "\n" for event in self.roll_backs)
            write_bytes(self._path, "".join(lines).encode())


def read_events(path: str) -> list[RollBack]:
    """Return the decisions of a run; none when there is no log."""
    if not Path(path).is_file():
        return []
    lines = [json.loads(line) for line in read_bytes(path).splitlines()]
    return [RollBack(**{name: line[name] for name in RollBack._fields}) for line in lines]


def batches_read(events: Sequence[RollBack], steps: int) -> list[int]:
    """Return the batch of each update that a run's weights come from, in order: what to feed to repeat it."""
    batches = list(range(steps))
    for event in events:
        batches = batches[: event.to_step] + [step + event.passed for step in range(event.to_step, steps)]
    return batches
