"""Fine-tuning: the newest checkpoint of a run goes on with prompts and answers, as a run of its own.

In: the run, its version (for the tokenizer), a file of examples, settings. Out: a run folder, by the training loop:
with metrics, checkpoints, resuming and roll-backs. The weights are a function of the parent's weights, the file's bytes
and the settings; run.json has the sha256 of both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax

from pipelines.store.files import read_bytes
from pipelines.store.versions import Version
from tokenizer.encode import Encoder
from trainer.checkpoints import load_decoder, newest_step
from trainer.config import TrainingConfig
from trainer.fine_tuning.data import FineTuningData
from trainer.fine_tuning.examples import Example, read_examples
from trainer.fine_tuning.recipe import origin_identity, tuned_config
from trainer.fine_tuning.settings import FineTuningSettings
from trainer.loop import say_nothing, train
from trainer.origin import Origin
from trainer.run_folder import RunResult, read_run
from trainer.session import OnStep, weights_hash


@dataclass(frozen=True)
class FineTuning:
    """A fine-tuning that is ready to run.

    Attributes:
        version: of the tokenizer.
        config: of the run.
        origin: where it begins and what it reads.
        examples: in the order of the file.
    """

    version: Version
    config: TrainingConfig
    origin: Origin
    examples: list[Example]


def prepare(
    parent_dir: str, version: Version, path: str, settings: FineTuningSettings, changes: Mapping[str, Any]
) -> FineTuning:
    """Prepare the fine-tuning of a run.

    Args:
        parent_dir: folder of the run.
        version: the one that it was trained on.
        path: JSON lines with `prompt` and `answer`.
        settings: see their class.
        changes: of the run's configuration, over what `settings` makes of it.

    Raises:
        GlamError: when there is no such run or checkpoint, or an example or a setting is refused.
    """
    parent = read_run(parent_dir)
    length, encoder = parent["sequence_length"], Encoder(read_bytes(version.tokenizer_url), version.tokenizer_url)
    examples = read_examples(path, encoder, length)
    config = tuned_config(parent["config"], settings, changes, path).resolved(length, jax.default_backend())
    data = FineTuningData(examples, config.training.batch_rows, length, config.training.seed)
    if not settings.steps and "steps" not in changes.get("training", {}):
        config = config.changed({"training": {"steps": data.steps(settings.epochs)}}, path)
    decoder = load_decoder(parent_dir, config.model, parent["vocabulary_size"])
    weights, digest = weights_hash(decoder), hashlib.sha256(read_bytes(path)).hexdigest()
    cut = sum(example.cut > 0 for example in examples)
    note = {
        "parent": {"run": parent_dir, "step": newest_step(parent_dir), "weights": weights},
        "data": {"file": path, "sha256": digest, "examples": len(examples), "cut": cut},
    }
    return FineTuning(version, config, Origin(decoder, data, origin_identity(weights, digest), note), examples)


def fine_tune(prepared: FineTuning, run_dir: str, on_step: OnStep = say_nothing) -> RunResult:
    """Make the run, or finish one that was stopped.

    Raises:
        GlamError: when the folder holds another run; see `trainer.loop.train`.
    """
    return train(prepared.version, prepared.config, run_dir, on_step=on_step, origin=prepared.origin)
