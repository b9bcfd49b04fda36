"""`glam train`: a training with progress on stderr."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from glam.training_console import TrainingConsole
from pipelines.progress import Display, SilentDisplay, TerminalDisplay
from pipelines.store.configuration import ConfigError
from pipelines.store.versions import Version, find_version
from trainer.accounting import cost
from trainer.config import ModelSettings, TrainingConfig, load_training_config
from trainer.mixture import check_repetition
from trainer.run_folder import require_local


@dataclass(frozen=True)
class Wanted:
    """What is asked of `glam train`.

    Attributes:
        run: folder of the run; None: say what the configuration means, and stop.
        preflight: train a small model first.
        profile: `N` or `N:M`, updates to trace.
        peak: FLOPs a second that MFU is a share of, in place of what is known or measured.
    """

    run: str | None
    preflight: bool = False
    profile: str | None = None
    peak: float | None = None


def run_training(config_path: str, overrides: Sequence[str], store: str, wanted: Wanted) -> dict[str, Any]:
    """Say what a configuration means, train, and return what `glam train --json` prints; of several processes, the
    first one alone says and shows anything."""
    if wanted.run is not None:
        require_local(wanted.run)
    config = load_training_config(config_path, overrides)
    version = find_version(store, config.version)
    import jax

    from glam.training_tables import training_plan_tables
    from trainer.loop import check_fit
    from trainer.plan import plan
    from trainer.processes import is_first
    from trainer.sharding import check_mesh

    display = TerminalDisplay() if is_first() else SilentDisplay()
    config = config.resolved(version.sequence_length, jax.default_backend())
    check_fit(config, version.sequence_length)
    check_mesh(config, version.vocabulary_size, version.sequence_length)
    meaning = plan(version, config)
    if is_first():
        training_plan_tables(meaning)
    for warning in check_repetition(version, config):
        display.say(f"warning: {warning}")
    if wanted.run is None:
        return {"plan": meaning}
    return {"plan": meaning, **_train(version, config, wanted.run, wanted, display)}


def _train(version: Version, config: TrainingConfig, run: str, wanted: Wanted, display: Display) -> dict[str, Any]:
    from trainer.loop import train
    from trainer.peak import peak
    from trainer.preflight import preflight, small_config
    from trainer.profile import Profile

    profile = None if wanted.profile is None else Profile.parse(wanted.profile)
    if profile and profile.last > config.training.steps:
        raise ConfigError(f"--profile {wanted.profile}: the run has {config.training.steps} updates")
    best = peak(wanted.peak, config.mesh.data * config.mesh.model)
    seed = config.training.seed

    def console(label: str, model: ModelSettings) -> TrainingConsole:
        size = cost(model, version.vocabulary_size, version.sequence_length)
        tokens = config.training.batch_rows * version.sequence_length
        return TrainingConsole(display, label, tokens, size.training_flops, best)

    passed = None
    if wanted.preflight:
        passed = preflight(version, config, run, seed, console("preflight", small_config(config).model))
        display.finish()
        display.say(
            f"preflight passed: {passed['size']}, {passed['steps']} updates, loss {passed['first_loss']:.3f} to "
            f"{passed['last_loss']:.3f}, waiting for input {100 * passed['input_share']:.1f} % of the time"
        )
    reports = console("train", config.model)
    every = config.training.log_every
    display.say(f"  train: the version's files are hashed, the update is compiled; then a report every {every} updates")
    result = train(version, config, run, on_step=reports, profile=profile)
    display.finish()
    display.say(f"{reports.summary()}; waiting for input {100 * result.input_share:.1f} % of {result.seconds:.1f} s")
    return {
        "run": run,
        "version": version.id,
        "steps": result.steps,
        "loss": result.loss,
        "finished": True,
        "seconds": result.seconds,
        "input_share": round(result.input_share, 5),
        "tokens_per_second": reports.tokens_per_second,
        "mfu": reports.mfu,
        "peak": best and best._asdict(),
        "preflight": passed,
    }
