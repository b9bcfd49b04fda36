"""`glam train`: a training with progress on stderr."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pipelines.progress import Display, TerminalDisplay
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

    result = train(version, config, run, on_step=step_shower(display, tokens))
    display.finish()
    return {
        "run": run,
        "version": version.id,
        "steps": result.steps,
        "loss": result.loss,
        "finished": True,
    }


def step_shower(display: Display, tokens: int) -> Callable[[int, int, dict[str, Any]], None]:
    """Return what shows the progress of a training whose updates read `tokens` each."""

    def on_step(done: int, steps: int, record: dict[str, Any]) -> None:
        loss = "not finite" if record["loss"] is None else f"{record['loss']:.3f}"
        display.move(done * tokens, f"step {done} of {steps}, loss {loss}")

    return on_step
