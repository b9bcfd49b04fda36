"""What a training step reaches on an accelerator: 0.1B, 0.1B/64E and 1.7B/32E in one call, as JSON.

    python benchmarks/gpu.py [--sizes NAME ...] [--rows 32] [--steps 10] [--dtype bfloat16]
    python benchmarks/gpu.py --sizes tiny tiny/4E --rows 2 --steps 1 --length 64   # on a CPU, to see that it works

Needs JAX for CUDA (`pip install "jax[cuda12]"`). Each size, and for mixtures each dispatcher, runs in a process of its
own with the paper's policies (float32 weights, bfloat16 activations, layers scanned, pairs computed again in the
backward pass). What does not fit is halved until it does: first the rows of a batch down to 8, then the layers; the
record says what was measured. The peak is the product of two square matrices of the same type in the same process.
Prints a JSON object a line, at the end one with all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from measuring import run_alone

from trainer.config import ModelSettings
from trainer.family import FAMILY

os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.95")

SIZES = ("0.1B", "0.1B/64E", "1.7B/32E")
MATRIX = {"gpu": 8192, "cpu": 512}
LEAST_ROWS = 8
OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"


class Case(NamedTuple):
    """What one process measures.

    Attributes:
        size: of `trainer.family`.
        dispatcher: `gather` or `einsum`; of no matter to a dense model.
        rows: sequences of a batch.
        length: tokens of a sequence.
        steps: updates that are timed.
        dtype: of activations.
        layers: in place of the size's; None keeps them.
    """

    size: str
    dispatcher: str
    rows: int
    length: int
    steps: int
    dtype: str
    layers: int | None = None

    def model(self) -> ModelSettings:
        """Return the model's settings."""
        changes = {"dispatcher": self.dispatcher, "activation_dtype": self.dtype, "remat": "pair", "layer_loop": "scan"}
        layers = {} if self.layers is None else {"layers": self.layers}
        group = {"group_size": min(self.length, FAMILY[self.size].settings["group_size"])}
        return ModelSettings.model_validate({"size": self.size} | changes | layers | group)

    def smaller(self) -> Case | None:
        """Return the case to try when this one does not fit."""
        if self.rows > LEAST_ROWS:
            return self._replace(rows=self.rows // 2)
        layers = self.model().layers // 4 * 2
        return self._replace(layers=layers) if layers else None


def seconds_a_call(program: Callable[[], object], calls: int) -> float:
    """Return the seconds of one call, the mean of several after one that compiles."""
    program()
    start = time.perf_counter()
    for _ in range(calls):
        program()
    return (time.perf_counter() - start) / calls


def peak_flops(dtype: str, platform: str) -> float:
    """Return the FLOPs a second of a product of square matrices."""
    import jax
    import jax.numpy as jnp

    size = MATRIX.get(platform, MATRIX["gpu"])
    left, right = (jax.random.normal(jax.random.key(seed), (size, size), dtype) for seed in (1, 2))
    program = jax.jit(jnp.matmul)
    return 2 * size**3 / seconds_a_call(lambda: jax.block_until_ready(program(left, right)), 10)


def measure(case: Case) -> dict[str, Any]:
    """Train a model on random tokens for a few updates; return what it reached."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from trainer.accounting import cost
    from trainer.batch import Batch
    from trainer.config import OptimizerSettings
    from trainer.step import compiled_start, compiled_step

    device = jax.devices()[0]
    model, optimizer, vocabulary = case.model(), OptimizerSettings(), FAMILY[case.size].vocabulary
    peak = peak_flops(case.dtype, device.platform)
    state = compiled_start(model, optimizer, vocabulary)(jnp.int32(0))
    program = compiled_step(model, optimizer, 1000, case.length)
    shape = (case.rows, case.length)
    ids = np.random.default_rng(1).integers(3, vocabulary, (case.rows, case.length + 1)).astype(np.int32)
    batch = jax.device_put(Batch(ids[:, :-1], ids[:, 1:], np.ones(shape, np.int32), np.ones(shape, bool)))

    def update() -> None:
        nonlocal state
        state, metrics = jax.block_until_ready(program(state, jnp.int32(1), jnp.int32(0), batch))
        assert np.isfinite(metrics.losses.cross_entropy)

    seconds = seconds_a_call(update, case.steps)
    tokens = case.rows * case.length / seconds
    size = cost(model, vocabulary, case.length // 2)
    memory = device.memory_stats() or {}
    return {
        "device": device.device_kind,
        "fits": True,
        "parameters": size.parameters,
        "active": size.active,
        "seconds_a_step": seconds,
        "tokens_a_second": tokens,
        "flops_a_second": tokens * size.training_flops,
        "peak_flops_a_second": peak,
        "mfu": tokens * size.training_flops / peak,
        "peak_bytes": memory.get("peak_bytes_in_use"),
    }


def measure_what_fits(case: Case) -> dict[str, Any]:
    """Measure a case, or the largest part of it that fits, each try in a process of its own."""
    while True:
        record = run_alone(__file__, "--case", json.dumps(case))
        smaller = case.smaller()
        if record["fits"] or smaller is None:
            return case._asdict() | {"layers": case.model().layers} | record
        case = smaller


def measure_or_say(case: Case) -> dict[str, Any]:
    """Measure a case; where its memory does not suffice, say so."""
    try:
        return measure(case)
    except Exception as error:
        if OUT_OF_MEMORY not in str(error):
            raise
        return {"fits": False}


def main() -> None:
    """Measure all sizes and print a JSON object for each, then one with all."""
    parser = argparse.ArgumentParser(description="Measure training steps on an accelerator; print JSON.")
    parser.add_argument("--sizes", nargs="+", default=SIZES, choices=FAMILY, metavar="NAME", help=", ".join(SIZES))
    parser.add_argument("--rows", type=int, default=32, help="sequences a batch, halved until they fit")
    parser.add_argument("--length", type=int, default=1024, help="tokens a sequence")
    parser.add_argument("--steps", type=int, default=10, help="updates that are timed")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"), help="of activations")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure_or_say(Case(*json.loads(arguments.case)))))
        return
    records = []
    for size in arguments.sizes:
        dispatchers = ("gather", "einsum") if FAMILY[size].settings["experts"] else ("gather",)
        for dispatcher in dispatchers:
            case = Case(size, dispatcher, arguments.rows, arguments.length, arguments.steps, arguments.dtype)
            records.append(measure_what_fits(case))
            print(json.dumps(records[-1]), file=sys.stderr)
    print(json.dumps({"measured": records}))


if __name__ == "__main__":
    main()
