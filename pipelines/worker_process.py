"""Worker processes of Beam's local runner whose death ends the job.

With `--direct_running_mode=multi_processing` Beam 2.77 starts a process a worker and asks it, by gRPC, for bundle after
bundle. Where one dies (the kernel kills it for want of memory, a native library crashes) Beam waits for its answer for
ever. Importing this module puts a handler in the place of Beam's that answers for the dead, with an error.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability import local_job_service
from apache_beam.runners.portability.fn_api_runner.worker_handlers import SubprocessSdkWorkerHandler, WorkerHandler

_READERS = ("beam_control_read", "read_grpc_client_inputs")
"""Threads of Beam's that read what a worker sends, and end with an error of their own when it is dead."""

_deaths: list[str] = []


@contextmanager
def deaths_told() -> Iterator[list[str]]:
    """Collect what is known of the workers that die inside; Beam's own threads tell no stack traces of it."""
    told = threading.excepthook

    def tell(failure: threading.ExceptHookArgs) -> None:
        if os.environ.get("GLAM_TRACEBACK") or failure.thread is None or failure.thread.name not in _READERS:
            told(failure)

    _deaths.clear()
    threading.excepthook = tell
    try:
        yield _deaths
    finally:
        threading.excepthook = told


class _Connection:
    """A worker's control connection that answers every request, those that wait and those to come, once it is dead."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._waiting: dict[str, Any] = {}
        self._death: str | None = None

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
    """Beam's handler of a worker process, which tells the connection when the process is dead."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.control_conn: Any = _Connection(self.control_conn)

    def start_worker(self) -> None:
        """Start the process, and a thread that waits for its end."""
        self._command = local_job_service.SubprocessSdkWorker(
            self._worker_command_line, self.control_address, self.provision_info, self.worker_id
        )
        self.worker_thread = threading.Thread(name="run_worker", target=self._run)
        self.worker_thread.start()

    def _run(self) -> None:
        try:
            self._command.run()
        except RuntimeError as error:  # Beam's, whose last word is the exit status
            death = _cause_of_death(int(str(error).rpartition(" ")[2]))
            _deaths.append(death)
            self.control_conn.die(death)


def _cause_of_death(status: int) -> str:
    """Say how a worker ended; the shell that starts it tells of signal n as 128 + n."""
    number = -status if status < 0 else status - 128
    known = number in {each.value for each in signal.Signals}
    cause = f"was ended by {signal.Signals(number).name}" if known else f"ended with exit code {status}"
    memory = ", as the kernel does where memory is short" if known and number == signal.SIGKILL else ""
    return (
        f"a worker process {cause}{memory}; run the same command again, it goes on after the last finished stage; "
        "if it happens again give fewer workers (--direct_num_workers) or more memory"
    )
