"""TPU slices by name, and what a chip of each generation has. Importing this module does not import JAX.

A slice is written GENERATION:SHAPE, e.g. `v4:8x8x16` for 1,024 chips. Chip figures are those of the maker's system
architecture pages (cloud.google.com/tpu/docs, "TPU v4", "TPU v5e", "TPU v5p", "TPU v6e").
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

from pipelines.store.configuration import ConfigError


class Chip(NamedTuple):
    """A generation of chips.

    Attributes:
        memory_bytes: of a chip.
        peak_flops: bfloat16 operations a second of a chip.
        dimensions: of a slice's shape.
        compiler_name: of the chip's configuration, as the compiler calls it: the two cores of a v4 or v5p work as one.
        device_kinds: what JAX calls a chip.
    """

    memory_bytes: int
    peak_flops: float
    dimensions: int
    compiler_name: str
    device_kinds: tuple[str, ...]


CHIPS = {
    "v4": Chip(32 << 30, 275e12, 3, "megacore", ("TPU v4",)),
    "v5p": Chip(95 << 30, 459e12, 3, "megacore", ("TPU v5", "TPU v5p")),
    "v5e": Chip(16 << 30, 197e12, 2, "default", ("TPU v5 lite",)),
    "v6e": Chip(32 << 30, 918e12, 2, "default", ("TPU v6 lite",)),
}

TORUS_SIDE = 4
"""Slices whose every side is a multiple of it are closed to a torus."""


class Topology(NamedTuple):
    """A slice: its name, the generation of its chips, and how they stand."""

    name: str
    generation: str
    shape: tuple[int, ...]

    @property
    def chip(self) -> Chip:
        """What each chip has."""
        return CHIPS[self.generation]

    @property
    def chips(self) -> int:
        """Chips of the slice."""
        return math.prod(self.shape)

    def description(self) -> dict[str, Any]:
        """Return the arguments of `jax.experimental.topologies.get_topology_desc`."""
        closed = all(side % TORUS_SIDE == 0 for side in self.shape) and self.chip.dimensions == 3
        return {
            "topology_name": self.name,
            "platform": "tpu",
            "chip_config_name": self.chip.compiler_name,
            "chips_per_host_bounds": (2, 2, 1),
            "num_slices": 1,
            "wrap": (closed,) * 3,
        }


def parse_topology(name: str) -> Topology:
    """Read the name of a slice.

    Raises:
        ConfigError: when it is none.
    """
    found = re.fullmatch(r"(\w+):(\d+(?:x\d+)*)", name)
    generation = found[1] if found else ""
    shape = tuple(int(side) for side in found[2].split("x")) if found else ()
    if generation not in CHIPS or len(shape) != CHIPS[generation].dimensions or 0 in shape:
        raise ConfigError(
            f"--topology {name}: write GENERATION:SHAPE, e.g. v4:8x8x16, v5p:4x4x8, v5e:4x8 or v6e:16x16; "
            f"generations are {', '.join(CHIPS)}"
        )
    return Topology(name, generation, shape)
