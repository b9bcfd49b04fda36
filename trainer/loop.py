"""Training: a dataset version and a configuration in, a run folder with metrics, checkpoints and result out.

A run that was stopped, at any moment, goes on from its last checkpoint, and its weights and metrics (but for the
seconds) are those of a run that was not. A finished run is returned at once.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import jax

from pipelines.store.configuration import ConfigError
from pipelines.store.files import join
from pipelines.store.verification import check_sizes, check_training_contents
from pipelines.store.versions import Version
from trainer.checkpoints import Checkpoints, Retention
from trainer.config import MeshSettings, TrainingConfig
from trainer.mixture import check_repetition, training_weights
from trainer.origin import Origin
from trainer.processes import is_first, losses_told, own_folder, wait_for_all
from trainer.profile import Profile
from trainer.run_folder import RunResult, finish_run, finished_result, open_run
from trainer.session import EVENTS_FILE, METRICS_FILE, OnStep, Session
from trainer.sharding import check_mesh


def say_nothing(done: int, steps: int, record: dict[str, Any]) -> None:
    """Report nothing."""


def single_core_environment() -> dict[str, str]:
    """Return environment variables for a process that trains on one CPU core; set them before it starts."""
    return {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def train(
    version: Version,
    config: TrainingConfig,
    run_dir: str,
    *,
    seed: int | None = None,
    on_step: OnStep = say_nothing,
    origin: Origin | None = None,
    profile: Profile | None = None,
) -> RunResult:
    """Train a model, or finish a training that was stopped.

    Args:
        version: what to train on.
        config: model, optimizer and run; its `version` is not looked at. What it leaves to the version and the
            backend (`batch_tokens`, `auto`) is decided here.
        run_dir: a local folder, new or of this very run.
        seed: of weights and order; the configuration's if None.
        on_step: told how the run goes, every `training.log_every` updates and at the last.
        origin: weights to begin with and batches to learn from, in place of random ones and the version's.
        profile: updates to trace into the folder.

    Raises:
        GlamError: when the folder holds another run, the batch does not fit the model, a component would be read too
            often, or the version is not what was built.
    """
    config = config.resolved(version.sequence_length, jax.default_backend())
    check_fit(config, version.sequence_length)
    check_mesh(config, version.vocabulary_size, version.sequence_length)
    if origin is None:
        check_repetition(version, config)
        check_sizes(version)
    elif config.mesh != MeshSettings():
        raise ConfigError("mesh: fine-tuning is for one device; set mesh.data and mesh.model to 1")
    seed = config.training.seed if seed is None else seed
    with losses_told():
        if not is_first():
            wait_for_all("the folder is the run's")
        run = open_run(run_dir, version, config, seed, origin)
        if is_first():
            wait_for_all("the folder is the run's")
        if (result := finished_result(run, run_dir)) is not None:
            return result
        if origin is None:
            weights = training_weights(version, config)
            together = {"process": jax.process_index(), "processes": jax.process_count()}
            check_training_contents(version, weights, config.training.verify_share, seed, **together)
        with (
            own_folder(run_dir, (METRICS_FILE, EVENTS_FILE)) as folder,
            Checkpoints(join(run_dir, "checkpoints"), retention(config)) as checkpoints,
        ):
            session = Session(version, config, folder, seed, checkpoints, origin, profile)
            result = replace(session.run_to_the_end(on_step), run_dir=run_dir)
        if is_first():
            finish_run(run, result)
    return result


def retention(config: TrainingConfig) -> Retention:
    """Return which checkpoints stay: the newest, and regular ones enough that one to go back to is among them."""
    newest, every, stability = config.training.checkpoints_kept, config.training.checkpoint_every, config.stability
    if not every or not stability.roll_backs:
        return Retention(newest)
    unproven = math.ceil((stability.healthy_after + stability.patience) / every)
    return Retention(newest, every, regular=unproven + 1)


def check_fit(config: TrainingConfig, sequence_length: int) -> None:
    """Refuse a batch that cannot be divided as the settings say.

    Raises:
        ConfigError: with key, value and remedy.
    """
    rows, parts = config.training.batch_rows, config.training.micro_batches
    if rows % parts:
        raise ConfigError(
            f"training.micro_batches: {parts} does not divide the {rows} rows of a batch; choose a divisor"
        )
    tokens = rows // parts * sequence_length
    batch = f"the {tokens} tokens of a {'micro-' if parts > 1 else ''}batch ({rows // parts} rows of {sequence_length})"
    if config.model.experts and tokens % config.model.group_size:
        raise ConfigError(
            f"model.group_size: {config.model.group_size} does not divide {batch}; "
            f"choose a divisor, e.g. {sequence_length}"
        )
    chunk = config.training.loss_chunk
    if chunk and tokens % chunk:
        raise ConfigError(f"training.loss_chunk: {chunk} does not divide {batch}; choose a divisor, or 0 for no chunks")
