"""Which records a run read at an update: roll-backs and the mixture of its configuration included. It imports no JAX.

In: the folder of a run (run.json, events.jsonl) and its version. Out: the batch of an update, and the place of each of
its rows in the version's shards.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pipelines.store.errors import GlamError
from pipelines.store.files import join
from pipelines.store.versions import Version
from trainer.config import TrainingConfig
from trainer.data import RecordPlace, TrainingData
from trainer.mixture import training_weights
from trainer.stability import batches_read, read_events


class TracedStep(NamedTuple):
    """An update of a run.

    Attributes:
        step: of the update, from 1, as in metrics.jsonl.
        batch: the batch that it read, from 0.
        passed_over: the batches that the updates of this number read which roll-backs undid.
        rows: of the batch; their shards are paths in the version.
    """

    step: int
    batch: int
    passed_over: list[int]
    rows: list[RecordPlace]


def trace_step(run_dir: str, run: dict[str, Any], version: Version, step: int) -> TracedStep:
    """Return what an update of a run read, or will read if nothing goes wrong before it.

    Args:
        run_dir: folder of the run.
        run: its run.json.
        version: that it was trained on.
        step: number of the update, from 1.

    Raises:
        GlamError: when the run has no such update, or read no version.
    """
    if "data" in run:
        raise GlamError(f"{run_dir}: a fine-tuning reads its own lines, not the records of a version; trace its parent")
    config = TrainingConfig.model_validate(run["config"])
    steps = config.training.steps
    if not 1 <= step <= steps:
        raise GlamError(f"--step {step}: {run_dir} has the updates 1 to {steps}")
    events = read_events(join(run_dir, "events.jsonl"))
    batch = batches_read(events, steps)[step - 1]
    undone = [
        batches_read(events[:number], steps)[step - 1]
        for number, event in enumerate(events)
        if event.to_step < step <= event.step
    ]
    data = TrainingData(version, config.training.batch_rows, run["seed"], training_weights(version, config))
    rows = [place._replace(shard=place.shard.removeprefix(f"{version.url}/")) for place in data.places(batch)]
    return TracedStep(step, batch, undone, rows)
