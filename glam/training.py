"""`glam train`: a training with progress on stderr."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.progress import TerminalDisplay
from pipelines.store.errors import GlamError
from pipelines.store.versions import find_version
from trainer.accounting import cost
from trainer.config import load_training_config
from trainer.mixture import check_repetition


def run_training(config_path: str, overrides: Sequence[str], store: str, run: str) -> dict[str, Any]:
    """Train and return what `glam train --json` prints."""
    config = load_training_config(config_path, overrides)
    version = find_version(store, config.version)
    display = TerminalDisplay()
    display.say(f"version {version.name} {version.id}")
    for warning in check_repetition(version, config):
        display.say(f"warning: {warning}")
    size = cost(config.model, version.vocabulary_size, version.sequence_length)
    display.say(
        f"model: {size.parameters:,} parameters, {size.active:,} active, {size.training_flops:,} training FLOPs a token"
    )
    from trainer.loop import train

    tokens = config.training.batch_rows * version.sequence_length
    display.start("train", config.training.steps * tokens, "tokens")

    def on_step(done: int, steps: int, record: dict[str, Any]) -> None:
        loss = "not finite" if record["loss"] is None else f"{record['loss']:.3f}"
        display.move(done * tokens, f"step {done} of {steps}, loss {loss}")

    result = train(version, config, run, on_step=on_step)
    display.finish()
    return {
        "run": run,
        "version": version.id,
        "steps": result.steps,
        "loss": result.loss,
        "finished": True,
    }


def run_evaluation(run: str, store: str, tasks: Sequence[str]) -> dict[str, Any]:
    """Score a run and return what `glam evaluate --json` prints.

    Raises:
        GlamError: when the run is not finished or a task is unknown.
    """
    unknown = [task for task in tasks if task != "heldout" and not task.startswith("heldout/")]
    if unknown:
        raise GlamError(f"--tasks {unknown[0]}: there is no such task; there are heldout and heldout/SOURCE")
    from trainer.evaluation.bits_per_byte import evaluate
    from trainer.evaluation.intervals import ratio_interval
    from trainer.run_folder import read_run

    version = find_version(store, read_run(run)["version"]["id"])
    display = TerminalDisplay()
    display.start("evaluate", sum(entry.tokens for entry in version.heldout.values()), "tokens")
    scores = evaluate(run, version, lambda done, _: display.move(done))
    display.finish()
    answer = {}
    for source, entry in scores.items():
        if "heldout" in tasks or f"heldout/{source}" in tasks:
            low, high = ratio_interval(entry.bits, entry.bytes) or (None, None)
            figures = {"score": entry.bits_per_byte, "low": low, "high": high, "n": len(entry.ids), "chance": None}
            answer[f"heldout/{source}"] = figures
    absent = [task for task in tasks if task != "heldout" and task not in answer]
    if absent or not answer:
        raise GlamError(f"--tasks {','.join(tasks)}: the version holds out {', '.join(sorted(scores)) or 'nothing'}")
    return {"run": run, "tasks": answer}
