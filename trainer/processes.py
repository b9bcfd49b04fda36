"""Several processes that train one run together, joined by `jax.distributed`.

Each process has the devices of its machine, reads the rows of the batches that they need, and knows the same metrics;
the first one alone writes the run's files. They act as one: a SIGTERM to any stops all after the same update, and
where one ends, the others end with an error within `HEARTBEAT_SECONDS`: the operation that they share fails at once
on CPUs, and JAX aborts processes that hang in one, or wait in vain for others at the start. Without `join_processes`
all of this is one process.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import jax
from jax.experimental import multihost_utils

from pipelines.store.configuration import ConfigError
from pipelines.store.errors import GlamError, Terminated
from pipelines.store.files import exists, join, read_bytes, write_bytes

HEARTBEAT_SECONDS = 30
"""After so long a process that sends no sign of life counts as ended."""

JOINING_SECONDS = 300
"""So long a process waits for the others at the start."""

DETECT = "auto"

LOST = "another process of the run has ended or cannot be reached"
AGAIN = "start all of them again with the same command, and the run goes on from its last checkpoint"

_WHEN_ABORTED: list[Callable[[int], None]] = []
"""What C calls at SIGABRT; it keeps no reference of its own."""


class ProcessLost(GlamError):
    """Another process of the run has ended, or cannot be reached."""


def join_processes(coordinator: str, processes: int | None, process: int | None) -> None:
    """Join the processes of a run; call it before anything else asks JAX for devices.

    Args:
        coordinator: HOST:PORT of the first process, the same for all; `auto` lets JAX find address, count and number
            (TPU slices, Slurm, Kubernetes).
        processes: how many there are.
        process: number of this one, from 0.

    Raises:
        ConfigError: when count or number are missing or wrong.
        GlamError: when the others do not come.
    """
    named: dict[str, object] = {}
    if coordinator != DETECT:
        if processes is None or process is None or not 0 <= process < processes:
            raise ConfigError(
                f"--coordinator {coordinator} needs --processes, how many there are (given: {processes}), and "
                f"--process, the number of this one from 0 (given: {process})"
            )
        named = {"coordinator_address": coordinator, "num_processes": processes, "process_id": process}
    remedy = "see that all are started with the same address and count, and can reach it"
    waited = f"the processes did not come together within {JOINING_SECONDS} s"
    _tell_when_aborted(f"--coordinator {coordinator}: {waited}, or one of them has ended; {remedy}")
    try:
        jax.distributed.initialize(
            **named,
            initialization_timeout=JOINING_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (RuntimeError, ValueError) as error:
        raise GlamError(
            f"--coordinator {coordinator}: the processes could not be joined ({error}); {remedy}"
        ) from error
    who = "this process" if process is None else f"process {process} of {processes}"
    _tell_when_aborted(f"{who}: JAX ended it, and its lines above say why; as a rule {LOST}; {AGAIN}")


def _tell_when_aborted(message: str) -> None:
    """Let an abort of this process end in a line on stderr and exit code 1.

    JAX aborts from threads of its own, where no exception reaches anyone and no handler of Python's would run in time.
    """

    @ctypes.CFUNCTYPE(None, ctypes.c_int)
    def told(_: int) -> None:
        os.write(2, f"error: {message}\n".encode())
        os._exit(GlamError.exit_code)

    _WHEN_ABORTED[:] = [told]
    ctypes.CDLL(None).signal(signal.SIGABRT, told)


def is_first() -> bool:
    """Tell whether this is the process that writes the run's files."""
    return jax.process_index() == 0


def wait_for_all(what: str) -> None:
    """Return when every process is here; `what` names the place."""
    multihost_utils.sync_global_devices(what)  # returns at once where there is one process


def asked_to_stop(step: int) -> bool:
    """Tell whether SIGTERM came to a process, all processes at the same step; call it once a step."""
    return jax.process_count() > 1 and bool(multihost_utils.reached_preemption_sync_point(step))


@contextmanager
def own_folder(run_dir: str, files: Sequence[str]) -> Iterator[str]:
    """Give each process a folder to write a run's files to: the run's to the first, to the others one that goes away,
    with copies of the `files` that tell how far the run is."""
    if is_first():
        wait_for_all("files are read")
        yield run_dir
        return
    with TemporaryDirectory() as folder:
        for name in files:
            if exists(join(run_dir, name)):
                write_bytes(join(folder, name), read_bytes(join(run_dir, name)))
        wait_for_all("files are read")
        yield folder


@contextmanager
def losses_told() -> Iterator[None]:
    """Turn what JAX raises when another process ends into a `ProcessLost`."""
    try:
        yield
    except GlamError:
        raise
    except Exception as error:
        if jax.process_count() == 1 or not _is_loss(error):
            raise
        who, reason = f"process {jax.process_index()} of {jax.process_count()}", str(error).splitlines()[0][:200]
        raise ProcessLost(f"{who}: {LOST} ({reason}); {AGAIN}") from error


def _is_loss(error: Exception) -> bool:
    """Tell whether an error came from talking to the other processes."""
    signs = ("Gloo", "coordination", "Barrier", "barrier", "heartbeat", "UNAVAILABLE", "DEADLINE_EXCEEDED")
    return any(sign in str(error) for sign in signs)


@contextmanager
def joined(coordinator: str | None, processes: int | None, process: int | None) -> Iterator[None]:
    """Join the processes of a run, if there is a coordinator; after an error, end this process at once: to leave in
    good order would mean to wait for the others.

    The arguments are those of `join_processes`.
    """
    if coordinator is None:
        if processes is not None or process is not None:
            raise ConfigError(
                "--processes and --process need --coordinator HOST:PORT, the address of the first process"
            )
        yield
        return
    join_processes(coordinator, processes, process)
    try:
        yield
    except Terminated:  # all of them stop
        raise
    except GlamError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        os._exit(error.exit_code)
