"""Worker processes of Beam's local runner whose death ends the job.

With `--direct_running_mode=multi_processing` Beam 2.77 starts a process a worker and asks it, by gRPC, for bundle after
bundle. Where one dies (the kernel kills it for want of memory, a native library crashes) Beam waits for its answer for
ever; and where a job fails before a worker has connected, it waits for the end of that worker, which nobody tells to
end. Importing this module puts a handler in the place of Beam's: it answers for the dead with an error, and kills what
would never end by itself.
"""

from __future__ import annotations

import os
import shlex
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability import local_job_service
from apache_beam.runners.portability.fn_api_runner.worker_handlers import (
    BeamFnControlServicer,
    SubprocessSdkWorkerHandler,
    WorkerHandler,
)

_READERS = ("beam_control_read", "read_grpc_client_inputs")
"""Threads of Beam's that read what a worker sends, and end with an error of their own when it is dead."""
_POLL_SECONDS = 0.02


class _Job:
    """The workers of the job that runs, and how those ended of whom it was not expected."""

    def __init__(self) -> None:
        self.deaths: list[str] = []
        self._workers: list[WatchedWorker] = []
        self._lock = threading.Lock()

    def add(self, worker: WatchedWorker) -> bool:
        """Take a worker that is to be started; tell whether it may be, which it may not once another is dead."""
        with self._lock:
            if not self.deaths:
                self._workers.append(worker)
            return not self.deaths

    def die(self, death: str) -> None:
        """A worker is dead: nothing that the others do is of use any more."""
        with self._lock:
            self.deaths.append(death)
            workers, self._workers = self._workers, []
        for worker in workers:
            worker.kill()


_job = _Job()


@contextmanager
def deaths_told() -> Iterator[list[str]]:
    """Collect what is known of the workers that die inside; Beam's own threads tell no stack traces of it."""
    global _job
    told = threading.excepthook

    def tell(failure: threading.ExceptHookArgs) -> None:
        if os.environ.get("GLAM_TRACEBACK") or failure.thread is None or failure.thread.name not in _READERS:
            told(failure)

    _job = _Job()
    threading.excepthook = tell
    try:
        yield _job.deaths
    finally:
        threading.excepthook = told


class _Connection:
    """A worker's control connection that answers every request, those that wait and those to come, once it is dead."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._waiting: dict[str, Any] = {}
        self._death: str | None = None

    @property
    def started(self) -> bool:
        """Whether the worker has connected."""
        return self._connection._state != BeamFnControlServicer.UNSTARTED_STATE

    def push(self, request: Any) -> Any:
        with self._lock:
            future = self._connection.push(request)
            if future is not None:  # None: the mark that there will be no further request
                self._waiting = {name: each for name, each in self._waiting.items() if not each.is_done()}
                self._waiting[future.instruction_id] = future
                self._answer_for_the_dead()
            return future

    def close(self) -> None:
        self._connection.close()

    def die(self, death: str) -> None:
        with self._lock:
            self._death = death
            self._answer_for_the_dead()

    def _answer_for_the_dead(self) -> None:
        if self._death is None:
            return
        for name, future in self._waiting.items():
            if not future.is_done():
                future.set(beam_fn_api_pb2.InstructionResponse(instruction_id=name, error=self._death))


@WorkerHandler.register_environment(python_urns.SUBPROCESS_SDK, bytes)
class WatchedWorker(SubprocessSdkWorkerHandler):
    """Beam's handler of a worker process, which knows the process, and tells the connection when it is dead."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.control_conn: Any = _Connection(self.control_conn)
        self.worker_thread = threading.Thread(name="run_worker", target=self._run)
        self._end_expected = threading.Event()
        self._job = _job

    def start_worker(self) -> None:
        """Start the process, and a thread that waits for its end."""
        descriptor, name = tempfile.mkstemp(prefix="glam-worker-")
        os.close(descriptor)
        self._process_id = Path(name)
        beam = self._worker_command_line.decode()
        command = f"echo $$ > {shlex.quote(name)}; exec {beam if os.environ.get('GLAM_TRACEBACK') else _quiet(beam)}"
        self._command = local_job_service.SubprocessSdkWorker(
            command.encode(), self.control_address, self.provision_info, self.worker_id
        )
        if self._job.add(self):
            self.worker_thread.start()
        else:
            self.control_conn.die(self._job.deaths[0])

    def _run(self) -> None:
        death = "ended with exit code 0"
        try:
            self._command.run()
        except RuntimeError as error:  # Beam's, whose last word is the exit status
            death = _cause_of_death(int(str(error).rpartition(" ")[2]))
        finally:
            self._process_id.unlink(missing_ok=True)
            if not self._end_expected.is_set():
                self._end_expected.set()
                self._job.die(f"a worker process {death}; {_REMEDY}")
            self.control_conn.die(death)

    def kill(self) -> None:
        """Kill the process if it lives, or as soon as it is there."""
        self._end_expected.set()
        while self.worker_thread.ident is None or self.worker_thread.is_alive():
            with suppress(FileNotFoundError, ProcessLookupError):
                if text := self._process_id.read_text().strip():
                    os.kill(int(text), signal.SIGKILL)
            if not self._process_id.exists():
                return
            time.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """End the process; one that has not connected never hears that there is nothing more to do."""
        self._end_expected.set()
        if not self.control_conn.started and self.worker_thread.ident is not None:
            self.kill()
        super().close()

    def stop_worker(self) -> None:
        """Wait for the end of the process."""
        if self.worker_thread.ident is not None:
            self.worker_thread.join()
        self._process_id.unlink(missing_ok=True)


def _quiet(command: str) -> str:
    """Return the command of a worker that does not write on stderr how its connections come about."""
    python, _, module = command.partition(" -m ")
    start = f"import logging, runpy; logging.disable(logging.WARNING); runpy.run_module('{module}', None, '__main__')"
    return f"{shlex.quote(python)} -c {shlex.quote(start)}"


_REMEDY = (
    "run the same command again, it goes on after the last finished stage; if it happens again give fewer workers "
    "(--direct_num_workers) or more memory"
)


def _cause_of_death(status: int) -> str:
    """Say how a worker ended; a shell tells of signal n as 128 + n."""
    number = -status if status < 0 else status - 128
    if number not in {each.value for each in signal.Signals}:
        return f"ended with exit code {status}"
    memory = ", as the kernel does where memory is short" if number == signal.SIGKILL else ""
    return f"was ended by {signal.Signals(number).name}{memory}"
