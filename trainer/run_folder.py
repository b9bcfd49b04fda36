"""The folder of a run and its identity, RUN/run.json. Importing this module does not import JAX.

run.json: {"format": 1, "kind": "run", "finished": bool, "fingerprint", "version": {"id", "name"}, "seed", "config":
{…}, "code", "libraries": {…}, "cost": {…}, "result": null or {…}}. `config` is the whole configuration as it was
decided for the version and the backend (`TrainingConfig.resolved`); the fingerprint covers what decides the weights:
version id, seed, settings, code and libraries, but not how often the run reports, how many checkpoints stay, nor the
mesh, which changes the order of float32 sums alone. How often it makes checkpoints counts where it may go back to one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as library_version
from typing import TYPE_CHECKING, Any

from pipelines.store.code_identity import code_identity
from pipelines.store.errors import GlamError
from pipelines.store.files import exists, is_local, join, list_folders, read_json, write_json
from pipelines.store.hashing import sha256_json
from pipelines.store.versions import Version
from trainer.accounting import cost
from trainer.config import TrainingConfig

if TYPE_CHECKING:
    from trainer.origin import Origin  # imports JAX

FORMAT = 1
SHORTEST_PREFIX = 4
LIBRARIES = ("flax", "jax", "jaxlib", "numpy")


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        run_dir: its folder.
        version: id of the dataset version.
        steps: updates done.
        tokens: targets learned from.
        loss: mean cross-entropy (nats) of the last 20 updates.
        weights: sha256 (hex) of the final parameters.
        seconds: of wall clock in training, compilation included, over all the processes that a stopped run took.
        cpu_seconds: of the processes, likewise.
        input_seconds: of `seconds`, those in which the device had nothing to do because a batch was not there.
        flops: of all updates, in closed form.
        skipped: updates whose gradient was not finite.
        roll_backs: times that the run went back to a healthy checkpoint (events.jsonl).
    """

    run_dir: str
    version: str
    steps: int
    tokens: int
    loss: float | None
    weights: str
    seconds: float
    cpu_seconds: float
    input_seconds: float
    flops: int
    skipped: int
    roll_backs: int = 0

    @property
    def input_share(self) -> float:
        """Share of the time that the input starved the step."""
        return self.input_seconds / self.seconds


def run_identity(
    version_id: str, config: TrainingConfig, seed: int, origin: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what a run's weights are a function of; its sha256_json is the run's fingerprint.

    Args:
        version_id: of the dataset version.
        config: resolved, so that batch and number format are those of the run.
        seed: of weights and order.
        origin: stands for the weights and the data of a run that begins with others than random ones and a version's.
    """
    decisive = {"steps", "batch_rows", "micro_batches", "loss_chunk"}
    if config.stability.roll_backs:
        decisive.add("checkpoint_every")  # a roll-back goes to a regular checkpoint
    training = config.training.model_dump(include=decisive)
    return {
        "version": version_id,
        "seed": seed,
        "model": config.model.model_dump(),
        "optimizer": config.optimizer.model_dump(),
        "mixture": config.mixture,
        "training": training,
        "stability": config.stability.model_dump(),
        "code": code_identity("trainer.loop"),
        "libraries": {name: library_version(name) for name in LIBRARIES},
        **(origin or {}),
    }


def require_local(run_dir: str) -> None:
    """Refuse a folder that is not on this machine: metrics grow by a line an update, which no object store can do.

    Raises:
        GlamError: with the remedy.
    """
    if not is_local(run_dir):
        raise GlamError(
            f"{run_dir}: a run is written to a folder of this machine; give --run a local path "
            "(docs/tpu.md: checkpoints in a bucket)"
        )


def open_run(
    run_dir: str, version: Version, config: TrainingConfig, seed: int, origin: Origin | None = None
) -> dict[str, Any]:
    """Return the run.json of a folder, written now if the folder is new.

    Raises:
        GlamError: when the folder holds another run, or is not on this machine.
    """
    require_local(run_dir)
    identity = run_identity(version.id, config, seed, origin.identity if origin else None)
    path = join(run_dir, "run.json")
    if exists(path):
        run = read_json(path)
        _require_same(run, identity, run_dir)
        return run
    model_cost = cost(config.model, version.vocabulary_size, version.sequence_length)
    run = {
        "format": FORMAT,
        "kind": "run",
        "finished": False,
        "fingerprint": sha256_json(identity),
        "version": {"id": version.id, "name": version.name},
        "seed": seed,
        "vocabulary_size": version.vocabulary_size,
        "sequence_length": version.sequence_length,
        "config": config.model_dump(),
        "code": identity["code"],
        "libraries": identity["libraries"],
        "cost": model_cost._asdict(),
        "result": None,
        **(origin.note if origin else {}),
    }
    write_json(path, run)
    return run


def read_run(run_dir: str) -> dict[str, Any]:
    """Return the run.json of a folder.

    Raises:
        GlamError: when there is none.
    """
    path = join(run_dir, "run.json")
    if not exists(path):
        raise GlamError(f"{path}: there is no such file; give the folder of a run (`glam train … --run {run_dir}`)")
    return read_json(path)


def find_run(reference: str, store_url: str) -> str:
    """Return the folder of a run: `reference` itself, or the store's run whose id it is or begins.

    Raises:
        GlamError: when there is none, or a prefix fits several.
    """
    if exists(join(reference, "run.json")):
        return reference
    base = join(store_url, "runs")
    fitting = [name for name in list_folders(base) if len(reference) >= SHORTEST_PREFIX and name.startswith(reference)]
    if len(fitting) != 1:
        problem = f"fits {len(fitting)} runs of {base}" if fitting else f"is no run's folder, nor its id in {base}"
        raise GlamError(f"{reference}: {problem}; give the folder of a run (`glam train … --run FOLDER`)")
    return join(base, fitting[0])


def runs_of(store_url: str, version_id: str) -> list[tuple[str, TrainingConfig]]:
    """Return folder and configuration of the store's runs on a version, in order of name, without damaged ones."""
    base = join(store_url, "runs")
    found = []
    for name in list_folders(base):
        try:
            run = read_run(join(base, name))
            if run["version"]["id"] == version_id and "data" not in run:  # a fine-tuning has text of its own
                found.append((join(base, name), TrainingConfig.model_validate(run["config"])))
        except (GlamError, KeyError, TypeError, ValueError):
            continue
    return found


def finish_run(run: dict[str, Any], result: RunResult) -> None:
    """Write run.json again, finished."""
    body = {name: value for name, value in vars(result).items() if name != "run_dir"}
    write_json(join(result.run_dir, "run.json"), {**run, "finished": True, "result": body})


def finished_result(run: dict[str, Any], run_dir: str) -> RunResult | None:
    """Return the result of a run if it is finished."""
    return RunResult(run_dir=run_dir, **run["result"]) if run["finished"] else None


def _require_same(run: dict[str, Any], identity: dict[str, Any], run_dir: str) -> None:
    if run["fingerprint"] == sha256_json(identity):
        return
    old = {
        "version": run["version"]["id"],
        "seed": run["seed"],
        **{part: run["config"].get(part) for part in ("model", "optimizer", "mixture", "stability")},
        "training": {key: run["config"]["training"].get(key) for key in identity["training"]},
        "code": run["code"],
        "libraries": run["libraries"],
    }
    old |= {"parent": run.get("parent", {}).get("weights"), "data": run.get("data", {}).get("sha256")}
    differing = [name for name in {**old, **identity} if identity.get(name) != old[name]]
    raise GlamError(
        f"{run_dir}: holds another run; it differs in {', '.join(differing)}. "
        "Give --run another folder, or delete this one"
    )
