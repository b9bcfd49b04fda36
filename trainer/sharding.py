"""How each tensor lies on a mesh of devices, data × model: one table, which the compiler (GSPMD) fills in between.

B batch, S sequence (queries), T sequence (keys) or tokens of a group, R rows (B·S, or G·C of an expert), M model,
H hidden, N heads, D head, E experts, V vocabulary, K buckets of relative distance, G groups, C slots, U micro-batches.

`data` splits the batch, and of the weights the model width (or the experts: expert e of every layer lives on one row
of the mesh); `model` splits heads, hidden width and vocabulary, and of the activations the model width. So weights,
their moments and the activations that are kept are all split both ways, and no tensor of a size that counts is whole
anywhere. Without a mesh nothing here does anything. The layout is that of the authors' public code (praxis `glam.py`,
mesh `data`, `mdl`); GSPMD: Xu et al. 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from pipelines.store.configuration import ConfigError
from trainer.adafactor import AdafactorState, Moments, factored_axes
from trainer.batch import Batch
from trainer.config import MeshSettings, OptimizerSettings, TrainingConfig
from trainer.model.parameters import Decoder, is_stacked, named_arrays, with_arrays

DATA, MODEL = "data", "model"

PARAMETERS = {
    # name without its stack, dimensions without the axis over layers: partition
    ("embedding", "VM"): P(MODEL, DATA),
    ("norm", "M"): P(None),
    ("attention/norm", "M"): P(None),
    ("attention/query", "MND"): P(DATA, MODEL, None),
    ("attention/key", "MND"): P(DATA, MODEL, None),
    ("attention/value", "MND"): P(DATA, MODEL, None),
    ("attention/output", "NDM"): P(MODEL, None, DATA),
    ("attention/relative_bias", "KN"): P(None, MODEL),
    ("feed_forward/norm", "M"): P(None),
    ("feed_forward/gate", "MH"): P(DATA, MODEL),
    ("feed_forward/linear", "MH"): P(DATA, MODEL),
    ("feed_forward/input", "MH"): P(DATA, MODEL),
    ("feed_forward/output", "HM"): P(MODEL, DATA),
    ("feed_forward/router", "ME"): P(MODEL, None),
    ("feed_forward/input", "EMH"): P(DATA, None, MODEL),
    ("feed_forward/output", "EHM"): P(DATA, MODEL, None),
}
"""Parameters. A moment of a parameter lies as the axes that it keeps; gradients lie as their parameters."""

ACTIVATIONS = {
    "BS": P(DATA, None),  # the batch itself
    "UBS": P(None, DATA, None),  # the micro-batches of a batch, each over all the devices
    "BSM": P(DATA, None, MODEL),  # the residual stream
    "BSND": P(DATA, None, MODEL, None),  # queries, keys, values
    "NST": P(MODEL, None, None),  # relative bias
    "BNST": P(DATA, MODEL, None, None),  # attention logits
    "RM": P(DATA, MODEL),
    "RH": P(DATA, MODEL),  # inside a feed-forward
    "RV": P(DATA, MODEL),  # output logits
    "GTM": P(DATA, None, MODEL),  # tokens in groups
    "GTE": P(DATA, None, None),  # router logits
    "GTEC": P(DATA, None, None, None),  # one-hot dispatch and combine
    "ERM": P(DATA, None, MODEL),  # what the experts read and write: an all-to-all from and to the groups
    "ERH": P(DATA, None, MODEL),
    "EGCM by group": P(None, DATA, None, MODEL),  # the experts' outputs, back with the groups
}
"""Activations and what the dispatcher makes of them."""

_MESH: ContextVar[Mesh | None] = ContextVar("mesh", default=None)

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def make_mesh(settings: MeshSettings, devices: Sequence[Any] | None = None) -> Mesh | None:
    """Return the mesh that the settings ask for, or None for one device.

    Args:
        settings: how many devices each way.
        devices: to take; all that JAX sees if None. Where there are several processes, all must be used.

    Raises:
        ConfigError: when there are not so many devices.
    """
    wanted, processes = settings.data * settings.model, 1 if devices is not None else jax.process_count()
    if wanted == 1 and processes == 1:
        return None
    devices = list(jax.devices() if devices is None else devices)
    if wanted > len(devices) or (processes > 1 and wanted < len(devices)):
        raise ConfigError(
            f"mesh: data = {settings.data} × model = {settings.model} asks for {wanted} devices, there are "
            f"{len(devices)} in {processes} {'process' if processes == 1 else 'processes'}; set mesh.data and "
            "mesh.model so that their product is the number of devices"
        )
    grid = mesh_utils.create_device_mesh(
        (settings.data, settings.model), devices=devices[:wanted], allow_split_physical_axes=True
    )
    return Mesh(grid, (DATA, MODEL), axis_types=(AxisType.Auto, AxisType.Auto))


def check_mesh(config: TrainingConfig, vocabulary_size: int, sequence_length: int) -> None:
    """Refuse a model or a batch that the mesh cannot divide evenly.

    Raises:
        ConfigError: with key, value and remedy.
    """
    model, training, mesh = config.model, config.training, config.mesh
    if mesh.data * mesh.model > 1 and model.experts and model.dispatcher == "gather":
        raise ConfigError(
            "model.dispatcher: `gather` moves rows from any place to any, which no mesh divides; set it to `einsum` "
            f"(the mesh is {mesh.data} × {mesh.model})"
        )
    rows = training.batch_rows // training.micro_batches
    groups = rows * sequence_length // model.group_size
    divided = [
        ("model.model_dim", model.model_dim, DATA),
        ("model.model_dim", model.model_dim, MODEL),
        ("model.hidden_dim", model.hidden_dim, MODEL),
        ("model.heads", model.heads, MODEL),
        ("the version's vocabulary", vocabulary_size, MODEL),
        ("training.batch_rows / training.micro_batches", rows, DATA),
        ("training.loss_chunk", training.loss_chunk, DATA),
    ]
    if model.experts:
        divided += [("model.experts", model.experts, DATA), ("routing groups of a batch", groups, DATA)]
    for what, size, axis in divided:
        parts = getattr(mesh, axis)
        if size % parts:
            raise ConfigError(
                f"mesh.{axis}: {parts} does not divide {what}, {size}; choose a mesh that divides it, or change it"
            )


def on_mesh(function: Callable[Arguments, Answer], mesh: Mesh | None) -> Callable[Arguments, Answer]:
    """Return `function` so that, while it is traced, `constrain` speaks of `mesh`."""

    @wraps(function)
    def traced(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        token = _MESH.set(mesh)
        try:
            return function(*args, **kwargs)
        finally:
            _MESH.reset(token)

    return traced


def constrain(x: jax.Array, layout: str) -> jax.Array:
    """Return `x`, laid out on the mesh as `ACTIVATIONS` says of `layout`; `x` itself where there is no mesh."""
    return _laid_out(x, ACTIVATIONS[layout])


def constrain_decoder(decoder: Decoder) -> Decoder:
    """Return parameters, or their gradients, laid out as the table says."""
    return jax.tree.map(_laid_out, decoder, decoder_specs(decoder))


def constrain_optimizer(optimizer: AdafactorState, decoder: Decoder, settings: OptimizerSettings) -> AdafactorState:
    """Return moments laid out as their parameters."""
    specs = optimizer_specs(optimizer, decoder, settings)
    return jax.tree.map(_laid_out, optimizer, specs)


def constrain_whole(tree: Any) -> Any:
    """Return a tree of small arrays that every device is to hold whole."""
    return jax.tree.map(lambda x: _laid_out(x, P()), tree)


def _laid_out(x: jax.Array, spec: P) -> jax.Array:
    mesh = _MESH.get()
    return x if mesh is None else jax.lax.with_sharding_constraint(x, NamedSharding(mesh, spec))


def parameter_spec(name: str, dimensions: int) -> P:
    """Return the partition of the parameter `name`, which has so many dimensions."""
    own = name.split("/", 1)[1] if is_stacked(name) else name
    (spec,) = (
        spec
        for (known, letters), spec in PARAMETERS.items()
        if known == own and len(letters) + is_stacked(name) == dimensions
    )
    return P(None, *spec) if is_stacked(name) else spec


def decoder_specs(decoder: Decoder) -> Decoder:
    """Return the partition of every parameter."""
    return with_arrays(decoder, {name: parameter_spec(name, x.ndim) for name, x in named_arrays(decoder).items()})


def optimizer_specs(optimizer: AdafactorState, decoder: Decoder, settings: OptimizerSettings) -> AdafactorState:
    """Return the partition of every moment: the parameter's, without the axis that a factored one has lost."""
    parameters = named_arrays(decoder)

    def specs(name: str, moments: Moments) -> Moments:
        spec, shape = tuple(parameter_spec(name, parameters[name].ndim)), parameters[name].shape
        if moments.full is not None:
            return Moments(full=P(*spec))
        first = int(is_stacked(name))
        axes = factored_axes(shape[first:], settings)
        assert axes is not None
        rows, columns = (P(*(part for axis, part in enumerate(spec) if axis != lost + first)) for lost in axes)
        return Moments(over_rows=rows, over_columns=columns)

    return AdafactorState(P(), {name: specs(name, moments) for name, moments in optimizer.moments.items()})


def placed(shapes: Any, specs: Any, mesh: Mesh) -> Any:
    """Return a tree of shapes with the places that a tree of partitions gives them on a mesh."""

    def place(leaf: Any, spec: P) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=NamedSharding(mesh, spec))

    return jax.tree.map(place, shapes, specs)


PIECE_BYTES = 1 << 28


def whole_pieces(array: jax.Array) -> Iterator[np.ndarray]:
    """Yield an array's content in order of its first axes, on every process, in pieces of at most about 256 MiB: a
    parameter of a pod is larger than a machine's memory."""
    if array.is_fully_addressable:
        yield np.asarray(array)
        return
    axes, size = 0, array.nbytes
    while size > PIECE_BYTES and axes < array.ndim:
        size //= array.shape[axes]
        axes += 1
    everywhere = NamedSharding(array.sharding.mesh, P())
    take = jax.jit(lambda whole, place: whole[tuple(place)], out_shardings=everywhere)
    for place in np.ndindex(array.shape[:axes]):
        yield np.asarray(take(array, np.array(place, np.int32)))


def place_batch(read: Callable[[slice], Batch], rows: int, length: int, mesh: Mesh) -> Batch:
    """Return a batch on a mesh of which this process reads only the rows of its own devices.

    Args:
        read: returns a range of the rows as numpy arrays.
        rows: of the whole batch.
        length: of a sequence.
        mesh: of all processes.
    """
    sharding, shape = NamedSharding(mesh, ACTIVATIONS["BS"]), (rows, length)
    index = sharding.addressable_devices_indices_map(shape)
    bounds = {device: part[0].indices(rows)[:2] for device, part in index.items()}
    parts = {bound: read(slice(*bound)) for bound in sorted(set(bounds.values()))}

    def whole(field: int) -> jax.Array:
        pieces = [jax.device_put(parts[bound][field], device) for device, bound in bounds.items()]
        return jax.make_array_from_single_device_arrays(shape, sharding, pieces)

    return Batch(*(whole(field) for field in range(len(Batch._fields))))
