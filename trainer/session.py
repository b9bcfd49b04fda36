"""What one process does for a run: from the newest checkpoint, or the start, to the last update.

The state after n updates is a function of version, seed, settings and the checkpoints that roll-backs go to; when the
process was stopped, and how often, does not show in it. So everything that decides is read from the lines of metrics
and the checkpoint, never from the clock.
"""

from __future__ import annotations

import hashlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pipelines.store.errors import GlamError, Terminated
from pipelines.store.files import join
from pipelines.store.versions import Version
from trainer.accounting import cost
from trainer.batch import Batch
from trainer.checkpoints import Checkpoints, Progress
from trainer.config import TrainingConfig
from trainer.data import TrainingData
from trainer.metrics import MetricsFile, to_record
from trainer.mixture import training_weights
from trainer.model.parameters import Decoder, named_arrays
from trainer.origin import Batches, Origin
from trainer.prefetch import ReadAhead
from trainer.processes import asked_to_stop
from trainer.profile import Profile, Tracer
from trainer.run_folder import RunResult
from trainer.sharding import make_mesh, place_batch, whole_pieces
from trainer.stability import EventLog, RollBack, Trouble, find_trouble, healthy_step
from trainer.step import StepMetrics, TrainState, compiled_start, compiled_step
from trainer.tensorboard import TensorBoard

OnStep = Callable[[int, int, dict[str, Any]], None]
"""Called with the updates done, the updates in all, and the newest line of metrics."""

METRICS_FILE, EVENTS_FILE = "metrics.jsonl", "events.jsonl"

FINAL_STEPS = 20
"""Updates whose mean loss stands for the run's."""


class _Waiting(NamedTuple):
    """An update that the device may still be working on."""

    metrics: StepMetrics
    batch: int
    seconds: float
    input_seconds: float


class Session:
    """One process's part of a run."""

    def __init__(
        self,
        version: Version,
        config: TrainingConfig,
        run_dir: str,
        seed: int,
        checkpoints: Checkpoints,
        origin: Origin | None = None,
        profile: Profile | None = None,
    ) -> None:
        self._started, self._cpu_started = time.monotonic(), time.process_time()
        self._config, self._run_dir, self._version = config, run_dir, version
        self._checkpoints, self._origin = checkpoints, origin
        self._mesh = make_mesh(config.mesh)
        self._start = compiled_start(config.model, config.optimizer, version.vocabulary_size, self._mesh)
        self._seed = np.int32(seed)
        self._state, self._before = self._newest()
        self._step, self._passed, self._roll_backs = self._before.step, self._before.passed, self._before.roll_backs
        self._input_seconds = 0.0
        self._data: Batches = origin.data if origin else _version_data(version, config, seed)
        board = TensorBoard(run_dir, config.training.log_every)
        self._metrics = MetricsFile(join(run_dir, METRICS_FILE), self._step, board)
        self._tracer = Tracer(run_dir, profile)
        self._events = EventLog(join(run_dir, EVENTS_FILE), self._roll_backs)
        self._waiting: list[_Waiting] = []

    def _newest(self) -> tuple[Any, Progress]:
        """Return the state of the newest checkpoint, or of the start."""
        state = self._start(self._seed)
        if self._checkpoints.latest() is None:
            return self._begun(state), Progress(version=self._version.id)
        state, progress = self._checkpoints.restore(state)
        if progress.version != self._version.id:
            raise GlamError(
                f"{self._run_dir}: its checkpoint was trained on version {progress.version}, not {self._version.id}; "
                "give the version it was trained on, or --run another folder"
            )
        return state, progress

    def _begun(self, state: TrainState) -> TrainState:
        """Return the first state: one of random weights, or one with copies of those that the run begins with."""
        if self._origin is None:
            return state

        def copy(own: jax.Array, like: jax.Array) -> jax.Array:
            return jax.device_put(jnp.copy(own), like.sharding)

        return state._replace(decoder=jax.tree.map(copy, self._origin.decoder, state.decoder))

    def run_to_the_end(self, on_step: OnStep) -> RunResult:
        """Make the updates that are left and return what the run made.

        Raises:
            Terminated: SIGTERM came; the state is in a checkpoint.
            GlamError: when the run would have to go back once more than it may.
        """
        settings = self._config.training
        with (
            ReadAhead(self._batch) as batches,
            _termination() as asked,
            closing(self._metrics),
            closing(self._tracer),
        ):
            while self._step < settings.steps:
                self._update(batches)
                if asked_to_stop(self._step):
                    asked.set()
                last = self._step == settings.steps
                kept = last or (settings.checkpoint_every and self._step % settings.checkpoint_every == 0)
                if kept or asked.is_set() or self._step % settings.log_every == 0:
                    trouble = self._collect()
                    if trouble is not None:
                        self._roll_back(trouble)
                        continue
                    on_step(self._step, settings.steps, self._metrics.records[-1])
                if kept or asked.is_set():
                    self._checkpoints.save(self._state, self._progress())
                if asked.is_set() and not last:
                    self._checkpoints.wait()
                    raise Terminated(
                        f"{self._run_dir}: stopped by SIGTERM after {self._step} of {settings.steps} updates, which a "
                        "checkpoint keeps; the same command goes on"
                    )
        self._checkpoints.wait()
        return self._result()

    def _batch(self, number: int) -> Batch:
        """Return a batch; on a mesh, read the rows alone that this process needs."""
        data = self._data
        if self._mesh is None:
            return data.batch(number)
        assert isinstance(data, TrainingData)  # fine-tuning has no mesh
        rows, length = self._config.training.batch_rows, self._version.sequence_length
        return place_batch(lambda part: data.batch(number, part), rows, length, self._mesh)

    def _update(self, batches: Callable[[int], Batch]) -> None:
        training = self._config.training
        program = compiled_step(
            self._config.model,
            self._config.optimizer,
            training.steps,
            training.loss_chunk,
            training.micro_batches,
            self._mesh,
        )
        number, begun = self._step + self._passed, time.monotonic()
        batch = batches(number)
        if not self._waiting or self._waiting[-1].metrics.tokens.is_ready():  # else the device was busy all the while
            self._input_seconds += time.monotonic() - begun
        self._tracer.before(self._step + 1)
        self._state, metrics = program(self._state, np.int32(self._step + 1), self._seed, batch)
        self._step += 1
        self._tracer.after(self._step, metrics)
        self._waiting.append(_Waiting(metrics, number, time.monotonic() - self._started, self._input_seconds))

    def _collect(self) -> Trouble | None:
        """Wait for the updates under way and write their metrics, as far as the first after which something is
        wrong."""
        stability, records = self._config.stability, self._metrics.records
        trouble = None
        for metrics, batch, seconds, input_seconds in self._waiting:
            step, tokens = len(records) + 1, records[-1]["tokens"] if records else 0
            took = self._before.seconds + seconds, self._before.input_seconds + input_seconds
            self._metrics.add(to_record(jax.device_get(metrics), step, batch, tokens, *took))
            if stability.roll_backs:
                trouble = find_trouble(records, stability)
            if trouble is not None:
                break
        self._waiting.clear()
        self._metrics.flush()
        return trouble

    def _roll_back(self, trouble: Trouble) -> None:
        """Go on from a healthy checkpoint, with the batches after those that led into trouble."""
        settings = self._config.stability
        if self._roll_backs >= settings.roll_backs:
            raise GlamError(
                f"{self._run_dir}: {trouble.reason} after update {trouble.step}, and the run went back "
                f"{self._roll_backs} times already (stability.roll_backs); see events.jsonl, then lower "
                "optimizer.learning_rate or look at the batches it names, and train into another folder"
            )
        every = self._config.training.checkpoint_every
        to_step = healthy_step(trouble, self._checkpoints.steps(), every, settings)
        passed = self._passed + trouble.step - to_step
        event = RollBack(self._roll_backs + 1, trouble.reason, trouble.step, to_step, passed, trouble.deviations)
        seconds = self._progress()
        self._checkpoints.delete_after(to_step)
        self._metrics.cut(to_step)
        self._events.add(event)
        self._state, _ = self._newest()
        self._before = seconds._replace(step=to_step)
        self._started, self._cpu_started, self._input_seconds = time.monotonic(), time.process_time(), 0.0
        self._step, self._passed, self._roll_backs = to_step, passed, event.number

    def _progress(self) -> Progress:
        records = self._metrics.records
        return Progress(
            step=self._step,
            tokens=records[-1]["tokens"] if records else 0,
            seconds=self._before.seconds + time.monotonic() - self._started,
            cpu_seconds=self._before.cpu_seconds + time.process_time() - self._cpu_started,
            input_seconds=self._before.input_seconds + self._input_seconds,
            passed=self._passed,
            roll_backs=self._roll_backs,
            version=self._version.id,
        )

    def _result(self) -> RunResult:
        progress, records = self._progress(), self._metrics.records
        model_cost = cost(self._config.model, self._version.vocabulary_size, self._version.sequence_length)
        last = [record["loss"] for record in records[-FINAL_STEPS:] if record["loss"] is not None]
        tokens = progress.step * self._config.training.batch_rows * self._version.sequence_length
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
            flops=tokens * model_cost.training_flops,
            skipped=sum(record["skipped"] for record in records),
            roll_backs=progress.roll_backs,
        )


def _version_data(version: Version, config: TrainingConfig, seed: int) -> TrainingData:
    return TrainingData(version, config.training.batch_rows, seed, training_weights(version, config))


@contextmanager
def _termination() -> Iterator[threading.Event]:
    """Return an event that SIGTERM sets instead of ending the process (in the main thread; elsewhere nothing does).

    Of several processes, it is JAX that takes the signal, so that all stop together (`trainer.processes`).
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread() or jax.process_count() > 1:
        yield asked
        return
    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before)


def weights_hash(decoder: Decoder) -> str:
    """Return the sha256 (hex) of the parameters: name, shape and bytes of each, in order of name."""
    state = hashlib.sha256()
    for name, array in sorted(named_arrays(decoder).items()):
        state.update(f"{name} {array.shape} {array.dtype}\n".encode())
        for piece in whole_pieces(array):
            state.update(piece.tobytes())
    return state.hexdigest()
