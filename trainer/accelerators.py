"""JAX looks for accelerators only on a machine that has the device file of one.

With libtpu installed (the `tpu` and `dev` extras) and no TPU, JAX would ask Google's metadata server about it, for a
minute or more where there is no such server, and libtpu would print errors. JAX reads JAX_PLATFORMS when it begins.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

PLATFORMS = "JAX_PLATFORMS"

DEVICES = Path("/dev")
FILES = (
    *("accel*", "vfio/[0-9]*", "vfio/devices/*"),  # of a TPU
    *("nvidia*", "dxg", "kfd", "dri/*"),  # of a GPU
)


def has_accelerator() -> bool:
    """Tell whether there may be one: elsewhere than on Linux it is not known."""
    return sys.platform != "linux" or any(any(DEVICES.glob(pattern)) for pattern in FILES)


def with_platforms(environment: Mapping[str, str], accelerator: bool) -> dict[str, str]:
    """Return the environment in which JAX begins; what it says of platforms already, stays."""
    return dict(environment) if accelerator else {PLATFORMS: "cpu"} | dict(environment)


def look_only_where_there_are_some() -> None:
    """Give this process that environment."""
    os.environ.update(with_platforms(os.environ, has_accelerator()))
