"""Checkpoints of a run, by Orbax, in RUN/checkpoints/STEP: parameters, optimizer and progress.

A checkpoint appears whole or not at all: Orbax writes it under a temporary name and renames it.
Arrays are stored by the names of `trainer.model.parameters.named_arrays`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from pipelines.store.errors import GlamError
from pipelines.store.files import join
from trainer.adafactor import AdafactorState, Moments
from trainer.config import ModelSettings
from trainer.model.parameters import Decoder, initialize, named_arrays, with_arrays
from trainer.step import TrainState


class Progress(NamedTuple):
    """How far a run is: updates done, targets learned from, and the seconds that they took.

    `passed` are the batches that roll-backs passed over, `roll_backs` their number; `version` is the id of the dataset
    version.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    input_seconds: float = 0.0
    passed: int = 0
    roll_backs: int = 0
    version: str = ""


@dataclass(frozen=True)
class Retention:
    """Which checkpoints stay; a preservation policy of Orbax.

    Attributes:
        newest: so many of all.
        every: updates between regular checkpoints; others are made by a signal.
        regular: so many of the regular ones, which a run may go back to, however many signals came since.
    """

    newest: int
    every: int = 0
    regular: int = 0

    def stays(self, steps: Sequence[int]) -> list[bool]:
        """Tell of each checkpoint, of ascending steps, whether it stays."""
        regular = [step for step in steps if self.every and step % self.every == 0]
        staying = {*steps[-self.newest :], *regular[max(0, len(regular) - self.regular) :]}
        return [step in staying for step in steps]

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:  # noqa: ARG002
        """Answer Orbax."""
        return self.stays([checkpoint.step for checkpoint in checkpoints])


class Checkpoints:
    """The checkpoints of one run; all stay unless `retention` says which."""

    def __init__(self, folder: str, retention: Retention | None = None) -> None:
        self._folder = folder
        options = ocp.CheckpointManagerOptions(
            preservation_policy=retention, enable_async_checkpointing=True, cleanup_tmp_directories=True
        )
        self._manager = ocp.CheckpointManager(
            Path(folder).absolute(), options=options, item_names=("parameters", "optimizer", "progress")
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._manager.close()

    def save(self, state: TrainState, progress: Progress) -> None:
        """Keep the state after `progress.step` updates; it is written while the run goes on."""
        # The next update takes over the state's memory, which on a CPU is the very memory that is being written.
        state = jax.tree.map(jnp.copy, state)
        self._manager.save(
            progress.step,
            args=ocp.args.Composite(
                parameters=ocp.args.StandardSave(named_arrays(state.decoder)),
                optimizer=ocp.args.StandardSave(_optimizer_tree(state.optimizer)),
                progress=ocp.args.JsonSave(progress._asdict()),
            ),
        )

    def wait(self) -> None:
        """Return when everything is written."""
        self._manager.wait_until_finished()

    def steps(self) -> list[int]:
        """Return the updates done in each checkpoint, oldest first."""
        self.wait()
        return sorted(self._manager.all_steps())

    def latest(self) -> int | None:
        """Return the step of the newest checkpoint."""
        return max(self.steps(), default=None)

    def delete_after(self, step: int) -> None:
        """Delete the checkpoints of later updates, newest first: a stop in between leaves the oldest of them."""
        for later in reversed(self.steps()):
            if later > step:
                self._manager.delete(later)

    def restore(self, like: TrainState) -> tuple[TrainState, Progress]:
        """Return the newest checkpoint, as a state with the shapes of `like`."""
        restored = self._restore(
            parameters=ocp.args.StandardRestore(_abstract(named_arrays(like.decoder))),
            optimizer=ocp.args.StandardRestore(_abstract(_optimizer_tree(like.optimizer))),
            progress=ocp.args.JsonRestore(),
        )
        optimizer = AdafactorState(
            restored.optimizer["updates"],
            {name: Moments(**moments) for name, moments in restored.optimizer["moments"].items()},
        )
        state = TrainState(with_arrays(like.decoder, restored.parameters), optimizer)
        # XLA may take over a donated buffer only when JAX owns it; restored ones may be views of the file's memory.
        return jax.tree.map(jnp.copy, state), Progress(**restored.progress)

    def restore_parameters(self, like: dict[str, Any]) -> dict[str, jax.Array]:
        """Return the parameters of the newest checkpoint by name, with the shapes of `like`."""
        return self._restore(parameters=ocp.args.StandardRestore(_abstract(like))).parameters

    def _restore(self, **items: Any) -> Any:
        step = self.latest()
        if step is None:
            raise GlamError(f"{self._folder}: holds no checkpoint; train the run again")
        return self._manager.restore(step, args=ocp.args.Composite(**items))


def load_decoder(run_dir: str, model: ModelSettings, vocabulary_size: int) -> Decoder:
    """Return the decoder of a run's newest checkpoint."""
    like = jax.eval_shape(lambda: initialize(model, vocabulary_size, jax.random.key(0)))
    with Checkpoints(join(run_dir, "checkpoints")) as checkpoints:
        return with_arrays(like, checkpoints.restore_parameters(named_arrays(like)))


def newest_step(run_dir: str) -> int:
    """Return the updates done in a run's newest checkpoint, 0 where there is none."""
    with Checkpoints(join(run_dir, "checkpoints")) as checkpoints:
        return checkpoints.latest() or 0


def _optimizer_tree(state: AdafactorState) -> dict[str, Any]:
    moments = {
        name: {key: value for key, value in item._asdict().items() if value is not None}
        for name, item in state.moments.items()
    }
    return {"updates": state.updates, "moments": moments}


def _abstract(tree: Any) -> Any:
    """Return the shapes and types of a tree of arrays, each where it is, or on the default device where it is none."""
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])

    def abstract(leaf: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding or device)

    return jax.tree.map(abstract, tree)
