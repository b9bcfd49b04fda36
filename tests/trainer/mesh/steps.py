"""What runs on eight fake devices: losses, gradients and updates on several meshes, as plain values."""

from __future__ import annotations

import jax
import numpy as np

from trainer.batch import Batch
from trainer.config import MeshSettings, ModelSettings, OptimizerSettings
from trainer.model.loss import losses, objective
from trainer.model.parameters import initialize, named_arrays
from trainer.sharding import decoder_specs, make_mesh, on_mesh, place_batch, placed
from trainer.step import compiled_start, compiled_step

ROWS, LENGTH, VOCABULARY, CHUNK = 16, 16, 64, 64
OPTIMIZER = OptimizerSettings(min_factored_dim=16)


def settings(kind: str) -> ModelSettings:
    sizes = {"layers": 2, "model_dim": 32, "hidden_dim": 64, "heads": 8, "head_dim": 8, "group_size": 16}
    return ModelSettings(**sizes, experts=8 if kind == "mixture" else 0, dispatcher="einsum", capacity_factor=1.5)


def batch() -> Batch:
    """Return a batch of packed rows, the last one padded."""
    tokens = np.random.default_rng(5).integers(0, VOCABULARY, (ROWS, LENGTH + 1)).astype(np.int32)
    segments = np.repeat(np.array([[1] * 6 + [2] * 10], np.int32), ROWS, 0)
    segments[-1, 9:] = 0
    return Batch(tokens[:, :-1], tokens[:, 1:], segments, segments > 0)


def on(shape: list[int]):
    """Return a mesh, and the batch on it."""
    mesh = make_mesh(MeshSettings(data=shape[0], model=shape[1]))
    whole = batch()
    if mesh is None:
        return mesh, whole
    return mesh, place_batch(lambda part: Batch(*(field[part] for field in whole)), ROWS, LENGTH, mesh)


def compare(kind: str, shapes: list[list[int]]) -> list[dict]:
    """Return for each mesh its losses, and how far its gradients are from those of one device."""
    model = settings(kind)
    found, reference = [], None
    start = initialize(model, VOCABULARY, jax.random.key(3))
    for shape in [[1, 1], *shapes]:
        mesh, read = on(shape)
        decoder = start
        if mesh is not None:
            places = jax.tree.map(lambda leaf: leaf.sharding, placed(start, decoder_specs(start), mesh))
            decoder = jax.device_put(start, places)

        def weighed(decoder, read=read):
            told, routers = losses(decoder, read, model, CHUNK)
            return objective(told, model), (told, routers)

        (_, (told, routers)), gradient = jax.jit(on_mesh(jax.value_and_grad(weighed, has_aux=True), mesh))(decoder)
        arrays = {name: np.asarray(array) for name, array in named_arrays(gradient).items()}
        reference = reference or arrays
        apart = {name: relative(arrays[name], reference[name]) for name in arrays}
        found.append(
            {
                "losses": [float(value) for value in told],
                "load": np.asarray(routers.counts.load).tolist() if routers else None,
                "gradients": apart,
                "spread": len(decoder.embedding[...].sharding.device_set),
            }
        )
    return found


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the largest difference over the largest value."""
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def shares(kind: str, shape: list[int]) -> dict[str, list[float]]:
    """Return of every parameter and moment which share of it one device holds, at the start and after an update."""
    model = settings(kind)
    mesh, read = on(shape)
    state = compiled_start(model, OPTIMIZER, VOCABULARY, mesh)(np.int32(3))
    alone = compiled_start(model, OPTIMIZER, VOCABULARY)(np.int32(3))
    for one, other in zip(jax.tree.leaves(state), jax.tree.leaves(alone), strict=True):
        assert np.array_equal(one, other), "a start on a mesh is the start on one device"
    found: dict[str, list[float]] = {}

    def look(state) -> None:
        for name, array in named_arrays(state.decoder).items():
            found.setdefault(name, []).append(held(array))
        for name, moments in state.optimizer.moments.items():
            for moment, array in moments._asdict().items():
                if array is not None:
                    found.setdefault(f"{name} {moment}", []).append(held(array))

    look(state)
    step = compiled_step(model, OPTIMIZER, 10, CHUNK // 2, 2, mesh)
    state, _ = step(state, np.int32(1), np.int32(3), read)
    look(state)
    return found


def held(array: jax.Array) -> float:
    shards = {shard.data.size for shard in array.addressable_shards}
    return max(shards) / array.size
