"""Runs a function of this folder in a process that sees so many CPU devices; the test process itself sees one."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]


def environment(devices: int) -> dict[str, str]:
    """Return the environment of a process that sees `devices` CPU devices."""
    # The compiler's later passes make no difference to what is looked at, and cost most of its time.
    flags = f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0"
    flags += " --xla_llvm_disable_expensive_passes=true"
    return {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)}


def on_devices(devices: int, module: str, function: str, *arguments: Any) -> Any:
    """Return what `function` of `module` (a file of this folder) returns, called with JSON values."""
    call = json.dumps([module, function, arguments])
    ended = subprocess.run(
        [sys.executable, __file__, call], capture_output=True, text=True, env=environment(devices), check=False
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout.splitlines()[-1])


def main() -> None:
    module, function, arguments = json.loads(sys.argv[1])
    spec = importlib.util.spec_from_file_location(module, HERE / f"{module}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    print(json.dumps(getattr(loaded, function)(*arguments)))


if __name__ == "__main__":
    main()
