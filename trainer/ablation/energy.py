"""Energy that the machine's own counters tell: of its processors (RAPL) and of its GPU (NVML), where they can be read.

In: /sys/class/powercap, NVIDIA's library. Out: joules, or None where there is no counter (a virtual machine hides them;
Linux shows RAPL's to root alone), and then the bill takes its model.

RAPL counts whole packages and their memory, whoever works: a process is charged with its share of the CPU seconds in
which the machine was busy meanwhile. A GPU is charged whole: with `backend = "gpu"` one process has it.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from pipelines.store.files import exists, join, write_json
from trainer.run_folder import read_run

POWERCAP = "/sys/class/powercap"
ENERGY_FILE = "energy.json"
"""Of a run's folder: {"joules", "seconds"} of its training, as far as they were measured."""

PROC_STAT = "/proc/stat"
NVML = "libnvidia-ml.so.1"
_BUSY = (0, 1, 2, 5, 6, 7)
"""Columns of /proc/stat: user, nice, system, interrupts, soft interrupts, stolen; guests are in the first."""


class Meter:
    """Adds up what the counters tell while it is entered.

    Args:
        gpu: whether the process has a GPU.
        powercap: folder of RAPL's counters.
        stat: the file in which Linux tells of its processors' time.
        nvml: NVIDIA's management library.
    """

    def __init__(self, gpu: bool = False, powercap: str = POWERCAP, stat: str = PROC_STAT, nvml: str = NVML) -> None:
        self._stat = stat
        self._packages = {path: _number(path / "max_energy_range_uj") for path in _rapl_domains(powercap)}
        self._gpu = _open_gpu(nvml) if gpu else None
        self._complete = self._gpu is not None if gpu else bool(self._packages)
        self._processors = self._accelerator = self.seconds = 0.0
        self._own = self._busy = 0.0

    @property
    def joules(self) -> float | None:
        """So far, of this process; None where the counters are missing: of a GPU's process, those of the GPU."""
        if not self._complete:
            return None
        share = min(1.0, self._own / self._busy) if self._busy else 1.0
        return round(self._processors * share + self._accelerator, 3)

    def __enter__(self) -> Self:
        self._last = self._read()
        return self

    def __exit__(self, *_: object) -> None:
        self.move()

    def move(self) -> None:
        """Add what was used since the last time; at least every few minutes, for the counters begin anew at an end."""
        now, last = self._read(), self._last
        for path, span in self._packages.items():
            used = now.packages[path] - last.packages[path]
            self._processors += (used if used >= 0 else used + span) / 1e6
        self._accelerator += (now.gpu - last.gpu) / 1e3
        self._own += now.own - last.own
        self._busy += now.busy - last.busy
        self.seconds += now.at - last.at
        self._last = now

    def _read(self) -> _Reading:
        return _Reading(
            {path: _number(path / "energy_uj") for path in self._packages},
            self._gpu.millijoules() if self._gpu else 0,
            time.process_time(),
            _busy_seconds(self._stat),
            time.monotonic(),
        )


class _Reading:
    """Counters at one moment: µJ by package, mJ of the GPU, seconds of this process, of all, of the clock."""

    def __init__(self, packages: dict[Path, int], gpu: int, own: float, busy: float, at: float) -> None:
        self.packages, self.gpu, self.own, self.busy, self.at = packages, gpu, own, busy, at


def _rapl_domains(powercap: str) -> list[Path]:
    """Return the folders of the packages and of memory beside them; what a package holds within it is not counted
    twice, nor what holds packages (`psys`)."""
    found = []
    for folder in sorted(Path(powercap).glob("intel-rapl:*")):  # AMD's have this name too
        try:
            name = (folder / "name").read_text(encoding="utf-8").strip()
            _number(folder / "energy_uj")
            _number(folder / "max_energy_range_uj")
        except (OSError, ValueError):
            continue
        if name.startswith("package") or name == "dram":
            found.append(folder)
    return found


def _number(path: Path) -> int:
    return int(path.read_text(encoding="utf-8"))


def _busy_seconds(stat: str) -> float:
    """Return the seconds in which processors worked, of all processes, since the machine started; 0 if untold."""
    try:
        first = Path(stat).read_text(encoding="utf-8").splitlines()[0].split()[1:]
        return sum(int(first[column]) for column in _BUSY) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0


class _Gpu:
    """The counter of one GPU; `handle` is NVML's."""

    def __init__(self, library: ctypes.CDLL, handle: ctypes.c_void_p) -> None:
        self._library, self._handle = library, handle

    def millijoules(self) -> int:
        """Since the driver was loaded.

        Raises:
            OSError: when the GPU has no such counter (before Volta).
        """
        told = ctypes.c_ulonglong()
        if self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle, ctypes.byref(told)):
            raise OSError("nvmlDeviceGetTotalEnergyConsumption is refused")
        return told.value


def _open_gpu(nvml: str) -> _Gpu | None:
    """Return the counter of the first GPU that this process may use; None where there is none."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    handle = ctypes.c_void_p()
    try:
        library = ctypes.CDLL(nvml)
        if library.nvmlInit_v2():
            return None
        if first.isdecimal():
            refused = library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(first)), ctypes.byref(handle))
        else:
            refused = library.nvmlDeviceGetHandleByUUID(first.encode(), ctypes.byref(handle))
        if refused:
            return None
        gpu = _Gpu(library, handle)
        gpu.millijoules()
    except (OSError, AttributeError):
        return None
    return gpu


def train_metered(
    run_dir: str, gpu: bool, on_step: Callable[..., None], train: Callable[[Callable[..., None]], Any]
) -> None:
    """Train a run, or the rest of it, and note what energy that took, where counters tell.

    Args:
        run_dir: its folder.
        gpu: whether the process has a GPU.
        on_step: told how it goes.
        train: does it, and tells the function that it is given.
    """
    if exists(join(run_dir, "run.json")) and read_run(run_dir)["finished"]:
        return
    with Meter(gpu) as meter:

        def moved(*told: Any) -> None:
            meter.move()
            on_step(*told)

        train(moved)
    if meter.joules is not None:
        write_json(join(run_dir, ENERGY_FILE), {"joules": meter.joules, "seconds": round(meter.seconds, 3)})
