"""A small model on the same data before the large one, as the paper did: does it learn, stably, and does input keep up?

In: a version and the configuration of the run to come. Out: RUN/preflight.json and the small run's folder in
RUN/preflight, whose name is of its fingerprint, so that a preflight of the same code, data and settings is found and
not run again. The small model is `preflight.size` or the smallest size of the family (`glam models`) that has experts
if, and only if, the run's model has; batches, mixture, vocabulary, seed, optimizer and stability are the run's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.store.configuration import ConfigError
from pipelines.store.errors import GlamError
from pipelines.store.files import join, write_json
from pipelines.store.hashing import sha256_json
from pipelines.store.versions import Version
from trainer.accounting import cost
from trainer.config import ModelSettings, PreflightSettings, TrainingConfig
from trainer.family import FAMILY
from trainer.loop import check_fit, say_nothing, train
from trainer.metrics import input_share, read_metrics
from trainer.processes import is_first
from trainer.run_folder import RunResult, run_identity
from trainer.session import OnStep
from trainer.sharding import check_mesh

ID_DIGITS = 16
TENTH = 10
"""Losses are compared between the first and the last tenth of the updates."""


class PreflightError(GlamError):
    """The small model did not train as it should; the message says what was wrong and where to look."""


def smallest_size(model: ModelSettings) -> str:
    """Return the name of the smallest size that is of a model's kind, mixture or dense."""
    kind = [name for name, size in FAMILY.items() if bool(size.settings["experts"]) == bool(model.experts)]
    return min(kind, key=lambda name: cost(ModelSettings.model_validate({"size": name}), 0, 1).parameters)


def small_config(config: TrainingConfig) -> TrainingConfig:
    """Return the configuration of the preflight of a run."""
    size = config.preflight.size or smallest_size(config.model)
    training = {"steps": config.preflight.steps, "checkpoint_every": 0}
    return config.changed({"model": {"size": size}, "training": training}, "preflight")


def preflight(
    version: Version, config: TrainingConfig, run_dir: str, seed: int, on_step: OnStep = say_nothing
) -> dict[str, Any]:
    """Train the small model, or find that it was, and judge it.

    Args:
        version: of the run to come.
        config: of the run to come, resolved.
        run_dir: of the run to come.
        seed: of the run to come.
        on_step: told how the small run goes.

    Returns:
        What RUN/preflight.json says (docs/formats.md).

    Raises:
        ConfigError: when the mesh or the batch of the run do not fit the small model.
        PreflightError: when it did not train as it should.
    """
    small = small_config(config)
    size = config.preflight.size or smallest_size(config.model)
    try:
        check_fit(small, version.sequence_length)
        check_mesh(small, version.vocabulary_size, version.sequence_length)
    except ConfigError as error:
        raise ConfigError(
            f"preflight.size: {size} does not fit this run ({error}); set it to a size that does (`glam models`)"
        ) from error
    identifier = sha256_json(run_identity(version.id, small, seed))[:ID_DIGITS]
    folder = join(run_dir, "preflight", identifier)
    result = train(version, small, folder, seed=seed, on_step=on_step)
    records = read_metrics(join(folder, "metrics.jsonl"))
    judged = judge(records, result, config.preflight)
    answer = {"size": size, "run": f"preflight/{identifier}", "steps": result.steps, "tokens": result.tokens, **judged}
    if is_first():
        write_json(join(run_dir, "preflight.json"), answer)
    if answer["problems"]:
        raise PreflightError(
            f"{run_dir}: the preflight ({size}, {result.steps} updates) failed: {'; '.join(answer['problems'])}. "
            f"See {folder}/metrics.jsonl; the run itself was not begun"
        )
    return answer


def judge(records: Sequence[dict[str, Any]], result: RunResult, settings: PreflightSettings) -> dict[str, Any]:
    """Return first and last loss, what was skipped and rolled back, the share of waiting for input, and problems."""
    tenth = max(1, len(records) // TENTH)
    first, last = _mean_loss(records[:tenth]), _mean_loss(records[-tenth:])
    share = input_share(records)
    problems = []
    if first is None or last is None:
        problems.append("its losses are not finite; lower optimizer.learning_rate")
    elif first - last < settings.loss_fall:
        problems.append(
            f"its loss went from {first:.3f} to {last:.3f}, less than preflight.loss_fall = {settings.loss_fall:g} "
            "down; look at the data, the mixture and optimizer.learning_rate"
        )
    if result.roll_backs or result.skipped:
        problems.append(
            f"it went back {result.roll_backs} times and skipped {result.skipped} updates; lower "
            "optimizer.learning_rate or look at the batches that events.jsonl names"
        )
    if share > settings.input_share:
        problems.append(
            f"it waited for input {100 * share:.1f} % of the time, more than preflight.input_share = "
            f"{settings.input_share:g}; bring the version nearer (a local disk), or raise the limit if the run's own "
            "model is slow enough"
        )
    return {
        "first_loss": first,
        "last_loss": last,
        "roll_backs": result.roll_backs,
        "skipped": result.skipped,
        "input_share": round(share, 5),
        "problems": problems,
    }


def _mean_loss(records: Sequence[dict[str, Any]]) -> float | None:
    losses = [record["loss"] for record in records]
    return None if not losses or None in losses else sum(losses) / len(losses)
