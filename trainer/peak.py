"""The highest rate of a device's matrix multiplications, which model FLOPs utilization (MFU) is a share of.

In: the devices of a run. Out: FLOPs a second of all of them, two a multiply-add. Accelerators have the manufacturer's
figure for dense bfloat16 (float16 on Volta and Turing, which lack it), whatever format a run computes in; a CPU has
none, so it is measured.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import jax
import jax.numpy as jnp

from pipelines.store.errors import GlamError
from trainer.pod.topology import CHIPS

KNOWN = {
    "TPU v2": 22.5e12,  # JAX shows the two cores of a v2 or v3 chip as devices
    "TPU v3": 61.5e12,
    **{kind: chip.peak_flops for chip in CHIPS.values() for kind in chip.device_kinds},
    "NVIDIA B200": 2250e12,
    "NVIDIA H200": 989.4e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100": 989.4e12,
    "NVIDIA A100": 312e12,
    "NVIDIA L40S": 362e12,
    "NVIDIA L4": 121e12,
    "NVIDIA A10": 125e12,
    "Tesla V100": 125e12,
    "Tesla T4": 65e12,
}
"""FLOPs a second by the beginning of the kind; of several that fit, the longest counts."""

MEASURED_SIZE, MEASURED_SECONDS = 1024, 0.2


class Peak(NamedTuple):
    """FLOPs a second of all devices of a run, and where the figure is from."""

    flops: float
    source: str


def peak(given: float | None = None, devices: int = 1) -> Peak | None:
    """Return the peak of a run.

    Args:
        given: FLOPs a second, of all its devices, to take instead.
        devices: of the run, all of the first one's kind. Those of a CPU share its cores, so their number is nothing.

    Returns:
        None for an accelerator that is not known.

    Raises:
        GlamError: when the figure given is not positive.
    """
    if given is not None:
        if not given > 0:
            raise GlamError(f"--peak {given:g}: give FLOPs a second above 0, e.g. 312e12")
        return Peak(given, "given")
    device = jax.devices()[0]
    if device.platform == "cpu":
        return Peak(measure(), f"measured: float32 matrices of {MEASURED_SIZE} by {MEASURED_SIZE}")
    return known_peak(device.device_kind, devices)


def known_peak(kind: str, devices: int = 1) -> Peak | None:
    """Return the peak of so many devices of a kind, or None where the kind is not known."""
    fitting = [name for name in KNOWN if kind == name or kind.startswith((f"{name} ", f"{name}-"))]
    if not fitting:
        return None
    named = kind if devices == 1 else f"{devices:,} × {kind}"
    return Peak(devices * KNOWN[max(fitting, key=len)], f"{named}, dense bfloat16")


def measure(size: int = MEASURED_SIZE, seconds: float = MEASURED_SECONDS) -> float:
    """Multiply float32 matrices for so many seconds; return FLOPs a second of the fastest product."""
    matrix = jnp.full((size, size), 1 / size)
    product = jax.jit(jnp.matmul)
    product(matrix, matrix).block_until_ready()
    best, begun = float("inf"), time.perf_counter()
    while (now := time.perf_counter()) - begun < seconds:
        product(matrix, matrix).block_until_ready()
        best = min(best, time.perf_counter() - now)
    return 2 * size**3 / best
