"""What a run scores on the held part of a task: RUN/evaluation/TASK-held-KEY.json, example by example.

In: a finished run, the held part. Out: for each example the error, 100 less the percentage of its credit that the right
option got, so that less is better as with bits. The file's name has what else the scores are a function of.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from pipelines.store.code_identity import code_identity
from pipelines.store.files import exists, join, read_json, write_json
from pipelines.store.hashing import sha256_json
from pipelines.store.versions import Version
from trainer.ablation.energy import Meter
from trainer.ablation.fine_tuning.parts import Parts
from trainer.ablation.scores import DocumentScores
from trainer.accounting import cost
from trainer.config import TrainingConfig


def scores_path(run_dir: str, parts: Parts) -> str:
    """Return where the scores of a run on a held part lie."""
    code = code_identity("trainer.ablation.fine_tuning.scoring")
    identity = {"task": parts.held.task.model_dump(), "held": parts.held_digest, "code": code}
    return join(run_dir, "evaluation", f"{parts.held.name}-held-{sha256_json(identity)[:16]}.json")


def score_held(run_dir: str, version: Version, config: TrainingConfig, parts: Parts, gpu: bool) -> None:
    """Score a run on the held part of a task, without demonstrations; a run that was scored is not asked again."""
    from trainer.evaluation.checkpoint import load_checkpoint
    from trainer.evaluation.evaluate import answers
    from trainer.evaluation.results import columns_of, result

    path = scores_path(run_dir, parts)
    if exists(path):
        return
    started, cpu_started = time.monotonic(), time.process_time()
    held = parts.held
    model = Counted(load_checkpoint(run_dir, version))
    with Meter(gpu) as meter:
        records = answers(model, held, 0, 0, False, join(run_dir, "evaluation"), lambda _: None)
    columns, _ = columns_of("accuracy", held.task, records, False)
    together = [held.reader.together(example) for example in held.examples]
    told = result(held.name, held.task, [records], {}, together, classes=held.reader.classes)
    size = cost(config.model, version.vocabulary_size, version.sequence_length)
    write_json(
        path,
        {
            "errors": [round(100 * (1 - share), 6) for share in columns[:, 0].tolist()],
            "groups": np.unique(together, return_inverse=True)[1].tolist(),
            "chance": told.chance,
            "majority": told.majority,
            "seconds": round(time.monotonic() - started, 3),
            "cpu_seconds": round(time.process_time() - cpu_started, 3),
            "tokens": model.tokens,
            "flops": model.tokens * size.forward_flops,
            "joules": meter.joules,
        },
    )


class Counted:
    """A model that counts the tokens which it is asked to read."""

    def __init__(self, model: Any) -> None:
        self._model, self.tokens = model, 0
        self.identity, self.context, self.document_start = model.identity, model.context, model.document_start
        self.encode, self.generate = model.encode, model.generate

    def log_likelihoods(self, requests: Any) -> np.ndarray:
        """Return what the model says, and count."""
        self.tokens += sum(len(request.tokens) - 1 for request in requests)
        return self._model.log_likelihoods(requests)


def read_held(run_dir: str, parts: Parts) -> dict[str, Any]:
    """Return what `score_held` wrote."""
    return read_json(scores_path(run_dir, parts))


def by_group(found: dict[str, Any]) -> DocumentScores:
    """Return the errors of a held part as scores: examples that belong together are one document, of so many bytes."""
    groups = np.array(found["groups"])
    return DocumentScores(np.bincount(groups, np.array(found["errors"])), np.bincount(groups))
