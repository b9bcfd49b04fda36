"""Compiles the step of a training for a TPU slice, without a TPU: `python -m trainer.pod.compiler`.

In, on stdin: {"config", "vocabulary_size", "sequence_length", "topology"} as JSON. Out, on stdout: one JSON object,
`CompiledStep`. It runs in a process of its own, which sees no accelerator and whose memory is the compiler's alone;
`compile_step` starts it. The program is that of `trainer.step`, the very one that a run calls.
"""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import Any

from pipelines.store.errors import GlamError, errors_told
from trainer.accounting import cost
from trainer.config import TrainingConfig
from trainer.pod.collectives import collectives
from trainer.pod.topology import Topology, parse_topology

ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v4-8",  # asked for and not used
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # it holds no device
    "TF_CPP_MIN_LOG_LEVEL": "2",
}


def compile_step(
    config: TrainingConfig, vocabulary_size: int, sequence_length: int, topology: Topology
) -> dict[str, Any]:
    """Return what a chip of a slice needs for one update, and what it sends.

    Args:
        config: of the training; its mesh must have the slice's chips.
        vocabulary_size: of the tokenizer.
        sequence_length: of the dataset version.
        topology: the slice.

    Returns:
        {"topology", "chips", "mesh", "model", "training", "tokens", "memory": {"parameters", "moments", "batch",
        "outputs", "temporaries", "program", "padding", "total", "chip"} in bytes of a chip, "collectives": {KIND:
        {"times", "bytes"}}, "flops": of a step, "floor_seconds", "compile_seconds", "resident_bytes"}. `outputs` are
        those that take no input's place; the floor is the FLOPs over the peak of all chips.

    Raises:
        GlamError: when the compiler is not installed, or refuses.
    """
    if find_spec("libtpu") is None:
        raise GlamError("compiling for TPU needs libtpu, which is not installed; pip install 'glam[tpu]'")
    if config.mesh.data * config.mesh.model != topology.chips:
        raise GlamError(
            f"mesh: data = {config.mesh.data} × model = {config.mesh.model} is not the {topology.chips} chips of "
            f"{topology.name}; choose a --topology of so many chips, or --mesh DATAxMODEL with that product"
        )
    request = {
        "config": config.model_dump(),
        "vocabulary_size": vocabulary_size,
        "sequence_length": sequence_length,
        "topology": topology.name,
    }
    ended = subprocess.run(
        [sys.executable, "-m", "trainer.pod.compiler"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        env={**os.environ, **ENVIRONMENT},
        check=False,
    )
    if ended.returncode:
        told = ended.stderr.strip().rpartition("error: ")[2]
        raise GlamError(f"compiling for {topology.name} failed: {told[-2000:]}")
    return json.loads(ended.stdout.splitlines()[-1])


def compiled(config: TrainingConfig, vocabulary_size: int, sequence_length: int, topology: Topology) -> dict[str, Any]:
    """Compile in this process, and return what `compile_step` does."""
    from jax.experimental import topologies

    from trainer.sharding import check_mesh, make_mesh
    from trainer.step import abstract_arguments, compiled_step

    config = config.resolved(sequence_length, "tpu")
    check_mesh(config, vocabulary_size, sequence_length)
    devices = topologies.get_topology_desc(**topology.description()).devices
    mesh = make_mesh(config.mesh, devices)
    arguments = abstract_arguments(config, vocabulary_size, sequence_length, mesh)
    training = config.training
    program: Any = compiled_step(
        config.model, config.optimizer, training.steps, training.loss_chunk, training.micro_batches, mesh
    )
    started = time.monotonic()
    executable = program.trace(*arguments).lower(lowering_platforms=("tpu",)).compile()
    seconds = time.monotonic() - started
    text = executable.as_text()
    tokens = training.batch_rows * sequence_length
    flops = tokens * cost(config.model, vocabulary_size, sequence_length).training_flops
    return {
        "topology": topology.name,
        "chips": topology.chips,
        "mesh": config.mesh.model_dump(),
        "model": config.model.model_dump(),
        "training": config.training.model_dump(include={"batch_rows", "micro_batches", "loss_chunk"}),
        "tokens": tokens,
        "memory": _memory(executable.memory_analysis(), arguments, topology),
        "collectives": {kind: found._asdict() for kind, found in collectives(text).items()},
        "flops": flops,
        "floor_seconds": flops / (topology.chips * topology.chip.peak_flops),
        "compile_seconds": round(seconds, 1),
        "resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _memory(analysis: Any, arguments: Any, topology: Topology) -> dict[str, int]:
    """Return the bytes of a chip by part."""
    import jax

    def on_a_chip(tree: Any) -> int:
        leaves = jax.tree.leaves(tree)
        return sum(math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize for leaf in leaves)

    state, _, _, batch = arguments
    parts = {
        "parameters": on_a_chip(state.decoder),
        "moments": on_a_chip(state.optimizer),
        "batch": on_a_chip(batch),
        "outputs": analysis.output_size_in_bytes - analysis.alias_size_in_bytes,
        "temporaries": analysis.temp_size_in_bytes,
        "program": analysis.generated_code_size_in_bytes,
    }
    # The compiler pads arrays to its tiles: what the arguments take beyond their own bytes.
    parts["padding"] = analysis.argument_size_in_bytes - parts["parameters"] - parts["moments"] - parts["batch"]
    return {**parts, "total": sum(parts.values()), "chip": topology.chip.memory_bytes}


def main() -> None:
    """Compile what stdin asks for."""
    request = json.load(sys.stdin)
    config = TrainingConfig.model_validate(request["config"])
    topology = parse_topology(request["topology"])
    print(json.dumps(compiled(config, request["vocabulary_size"], request["sequence_length"], topology)))


if __name__ == "__main__":
    with errors_told():
        main()
