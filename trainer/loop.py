"""Training: a dataset version and a configuration in, a run folder with metrics, checkpoints and result out.

A run that was stopped, at any moment, goes on from its last checkpoint, and its weights and metrics (but for the
seconds) are those of a run that was not. A finished run is returned at once.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pipelines.store.configuration import ConfigError
from pipelines.store.files import join
from pipelines.store.versions import Version
from trainer.accounting import cost
from trainer.checkpoints import Checkpoints, Progress
from trainer.config import TrainingConfig
from trainer.data import TrainingData
from trainer.metrics import MetricsFile, to_record
from trainer.mixture import check_repetition, training_weights
from trainer.model.parameters import Decoder, named_arrays
from trainer.run_folder import RunResult, finish_run, finished_result, open_run
from trainer.step import StepMetrics, compiled_start, compiled_step

OnStep = Callable[[int, int, dict[str, Any]], None]
"""Called with the updates done, the updates in all, and the newest line of metrics."""

FINAL_STEPS = 20
"""Updates whose mean loss stands for the run's."""


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
) -> RunResult:
    """Train a model, or finish a training that was stopped.

    Args:
        version: what to train on.
        config: model, optimizer and run; its `version` is not looked at.
        run_dir: a local folder, new or of this very run.
        seed: of weights and order; the configuration's if None.
        on_step: told how the run goes, every `training.log_every` updates and at the last.

    Raises:
        GlamError: when the folder holds another run, the batch does not fit the model, or a component would be read
            too often.
    """
    check_fit(config, version.sequence_length)
    check_repetition(version, config)
    seed = config.training.seed if seed is None else seed
    run = open_run(run_dir, version, config, seed)
    if (result := finished_result(run, run_dir)) is not None:
        return result
    with Checkpoints(join(run_dir, "checkpoints"), config.training.checkpoints_kept) as checkpoints:
        session = _Session(version, config, run_dir, seed, checkpoints)
        result = session.run_to_the_end(on_step)
    finish_run(run, result)
    return result


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


class _Session:
    """What one process does for a run."""

    def __init__(
        self, version: Version, config: TrainingConfig, run_dir: str, seed: int, checkpoints: Checkpoints
    ) -> None:
        self._started, self._cpu_started = time.monotonic(), time.process_time()
        self._config, self._run_dir, self._version = config, run_dir, version
        self._checkpoints = checkpoints
        start = compiled_start(config.model, config.optimizer, version.vocabulary_size)
        self._seed = jnp.int32(seed)
        self._state = start(self._seed)
        self._before = Progress()
        if checkpoints.latest() is not None:
            self._state, self._before = checkpoints.restore(self._state)
        self._step, self._tokens, self._input_seconds = self._before.step, self._before.tokens, 0.0
        self._data = TrainingData(version, config.training.batch_rows, seed, training_weights(version, config))
        self._metrics = MetricsFile(join(run_dir, "metrics.jsonl"), self._step)
        self._waiting: list[tuple[StepMetrics, float]] = []

    def run_to_the_end(self, on_step: OnStep) -> RunResult:
        settings = self._config.training
        program = compiled_step(
            self._config.model, self._config.optimizer, settings.steps, settings.loss_chunk, settings.micro_batches
        )
        while self._step < settings.steps:
            begun = time.monotonic()
            batch = self._data.batch(self._step)
            self._input_seconds += time.monotonic() - begun
            self._state, metrics = program(self._state, jnp.int32(self._step + 1), self._seed, batch)
            self._step += 1
            self._waiting.append((metrics, time.monotonic() - self._started))
            last = self._step == settings.steps
            if last or self._step % settings.log_every == 0:
                self._collect()
                on_step(self._step, settings.steps, self._metrics.records[-1])
            if last or (settings.checkpoint_every and self._step % settings.checkpoint_every == 0):
                self._keep()
        return self._result()

    def _collect(self) -> None:
        """Wait for the updates under way and write their metrics."""
        for metrics, seconds in self._waiting:
            step = len(self._metrics.records) + 1
            record = to_record(jax.device_get(metrics), step, self._tokens, self._before.seconds + seconds)
            self._tokens = record["tokens"]
            self._metrics.add(record)
        self._waiting.clear()
        self._metrics.flush()

    def _keep(self) -> None:
        """Write the metrics, then the checkpoint that counts on them."""
        self._collect()
        self._checkpoints.save(self._state, self._progress())

    def _progress(self) -> Progress:
        return Progress(
            step=self._step,
            tokens=self._tokens,
            seconds=self._before.seconds + time.monotonic() - self._started,
            cpu_seconds=self._before.cpu_seconds + time.process_time() - self._cpu_started,
            input_seconds=self._before.input_seconds + self._input_seconds,
        )

    def _result(self) -> RunResult:
        progress, records = self._progress(), self._metrics.records
        model_cost = cost(self._config.model, self._version.vocabulary_size, self._version.sequence_length)
        last = [record["loss"] for record in records[-FINAL_STEPS:] if record["loss"] is not None]
        return RunResult(
            run_dir=self._run_dir,
            version=self._version.id,
            steps=progress.step,
            tokens=progress.tokens,
            loss=float(np.mean(last)) if last else None,
            weights=weights_hash(self._state.decoder),
            seconds=round(progress.seconds, 3),
            cpu_seconds=round(progress.cpu_seconds, 3),
            input_seconds=round(progress.input_seconds, 3),
            flops=progress.step
            * self._config.training.batch_rows
            * self._version.sequence_length
            * model_cost.training_flops,
            skipped=sum(record["skipped"] for record in records),
        )


def weights_hash(decoder: Decoder) -> str:
    """Return the sha256 (hex) of the parameters: name, shape and bytes of each, in order of name."""
    state = hashlib.sha256()
    for name, array in sorted(named_arrays(decoder).items()):
        value = np.asarray(array)
        state.update(f"{name} {value.shape} {value.dtype}\n".encode())
        state.update(value.tobytes())
    return state.hexdigest()
