"""Where processes of one test keep the programs that they compile, so that the next one need not."""

from __future__ import annotations

from pathlib import Path


def compiled_once(folder: Path | str) -> dict[str, str]:
    """Return environment variables that let JAX keep compiled programs in a folder."""
    return {
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
