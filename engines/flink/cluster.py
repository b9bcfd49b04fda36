"""A real standalone Flink cluster as processes on this machine: JobManager, TaskManagers, and Beam's job server.

In: artefacts, a folder for configuration, logs and process ids, ports. Out: a cluster that takes Beam jobs, and Beam's
options for them. Workers are started by the TaskManagers, one Python process each (Beam's PROCESS environment): with a
pool of workers beside the cluster, the workers of two TaskManagers on one machine would have the same names.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from engines.flink.artefacts import Artefacts
from pipelines.store.errors import GlamError

ROOT = Path(__file__).parents[2]
ADDRESS = "127.0.0.1"
READY_SECONDS = 120
STOP_SECONDS = 20
OPENED = "lang net io nio lang.reflect text time util util.concurrent util.concurrent.atomic util.concurrent.locks"


class Ports(NamedTuple):
    """Ports on this machine: Flink's dashboard, its JobManager, and the job server's three."""

    dashboard: int
    job_manager: int
    jobs: int
    files: int
    expansion: int


def free_ports() -> Ports:
    """Return ports that nothing listens on now."""
    sockets = [socket.socket() for _ in Ports._fields]
    for one in sockets:
        one.bind((ADDRESS, 0))
    ports = Ports(*(one.getsockname()[1] for one in sockets))
    for one in sockets:
        one.close()
    return ports


class Cluster:
    """One JobManager, some TaskManagers and a job server, whose processes this object, and no other, starts and stops.

    Args:
        artefacts: the jars.
        folder: of configuration, logs and temporary files.
        task_managers: processes that run the work.
        slots: of each TaskManager.
    """

    def __init__(self, artefacts: Artefacts, folder: Path, task_managers: int = 2, slots: int = 2) -> None:
        self._artefacts, self._folder = artefacts, folder.absolute()
        self._task_managers, self._slots = task_managers, slots
        self.ports = free_ports()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def dashboard(self) -> str:
        """The address of Flink's web page."""
        return f"http://{ADDRESS}:{self.ports.dashboard}"

    def beam_options(self) -> list[str]:
        """Return Beam's options for a job on this cluster."""
        environment = json.dumps({"command": str(self._folder / "worker.sh")}, separators=(",", ":"))
        return [
            "--runner=PortableRunner",
            f"--job_endpoint={ADDRESS}:{self.ports.jobs}",
            "--environment_type=PROCESS",
            f"--environment_config={environment}",
            f"--flink_master={ADDRESS}:{self.ports.dashboard}",
            f"--parallelism={self._task_managers}",
            "--environment_cache_millis=60000",
        ]

    def start(self) -> None:
        """Start everything and wait until it takes jobs.

        Raises:
            GlamError: when a process ends or is not ready in time, with the place of its log.
        """
        for name in ("conf", "logs", "tmp", "files"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        self._write_configuration()
        jars = f"{self._artefacts.flink}/lib/*"
        self._start("job-manager", [*self._java(), "-Xmx512m", "-cp", jars, f"{_RUNTIME}.entrypoint.{_JOB_MANAGER}",
                                    "--configDir", str(self._folder / "conf")])  # fmt: skip
        for number in range(1, self._task_managers + 1):
            self.start_task_manager(number)
        self._wait("the TaskManagers", self._task_managers_ready)
        self._start(
            "job-server",
            [self._artefacts.java, "-Xmx512m", "-cp", f"{self._artefacts.job_server}:{jars}",
             "org.apache.beam.runners.flink.FlinkJobServerDriver", f"--flink-master={ADDRESS}:{self.ports.dashboard}",
             f"--job-host={ADDRESS}", f"--job-port={self.ports.jobs}", f"--artifact-port={self.ports.files}",
             f"--expansion-port={self.ports.expansion}", f"--artifacts-dir={self._folder / 'files'}"],
        )  # fmt: skip
        self._wait("the job server", lambda: listens(self.ports.jobs))

    def start_task_manager(self, number: int) -> None:
        """Start a TaskManager."""
        for_java, for_program = self._memory_flags()
        configuration = ["--configDir", str(self._folder / "conf"), *for_program]
        own = ["-D", f"taskmanager.resource-id=task-manager-{number}"]
        jars = f"{self._artefacts.flink}/lib/*"
        program = f"{_RUNTIME}.taskexecutor.TaskManagerRunner"
        self._start(f"task-manager-{number}", [*self._java(), *for_java, "-cp", jars, program, *configuration, *own])

    def kill_task_manager(self, number: int) -> None:
        """Kill a TaskManager as `kill -9` does; its Python workers are left to end by themselves."""
        process = self.processes.pop(f"task-manager-{number}")
        process.send_signal(signal.SIGKILL)
        process.wait()

    def ask(self, path: str) -> Any:
        """Return what Flink's REST interface answers."""
        with urllib.request.urlopen(f"{self.dashboard}{path}", timeout=10) as answer:
            return json.load(answer)

    def jobs(self) -> list[dict[str, Any]]:
        """Return all jobs, finished ones too, with the number of their tasks by state."""
        return self.ask("/jobs/overview")["jobs"]

    def stop(self) -> None:
        """Stop what `start` started, the last first."""
        for _, process in reversed(self.processes.items()):
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in self.processes.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()

    def _write_configuration(self) -> None:
        settings = {
            "jobmanager.rpc.address": ADDRESS,
            "jobmanager.rpc.port": self.ports.job_manager,
            "jobmanager.bind-host": ADDRESS,
            "jobmanager.memory.process.size": "1g",
            "rest.address": ADDRESS,
            "rest.port": self.ports.dashboard,
            "rest.bind-address": ADDRESS,
            "taskmanager.host": ADDRESS,
            "taskmanager.bind-host": ADDRESS,
            "taskmanager.numberOfTaskSlots": self._slots,
            "taskmanager.memory.process.size": "2g",
            "cluster.evenly-spread-out-slots": "true",
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": 10,
            "restart-strategy.fixed-delay.delay": "2 s",
            "heartbeat.interval": 2000,
            "heartbeat.timeout": 20000,
            "io.tmp.dirs": str(self._folder / "tmp"),
        }
        text = "".join(f"{name}: {value}\n" for name, value in settings.items())
        (self._folder / "conf" / "flink-conf.yaml").write_text(text)
        worker = self._folder / "worker.sh"
        worker.write_text(f'#!/bin/sh\nexport PYTHONPATH="{ROOT}"\nexec "{sys.executable}" -m pipelines.worker "$@"\n')
        worker.chmod(0o755)

    def _java(self) -> list[str]:
        packages = [f"java.{name}" for name in OPENED.split()] + ["sun.nio.ch"]
        return [self._artefacts.java, *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in packages)]

    def _memory_flags(self) -> tuple[list[str], list[str]]:
        """Return a TaskManager's memory flags for Java and for the program, as Flink's own tool computes them."""
        flink = self._artefacts.flink
        command = [self._artefacts.java, "-cp", f"{flink}/bin/bash-java-utils.jar:{flink}/lib/*",
                   f"{_RUNTIME}.util.bash.BashJavaUtils", "GET_TM_RESOURCE_PARAMS", "--configDir",
                   str(self._folder / "conf"), "--binDir", f"{flink}/bin", "--libDir", f"{flink}/lib"]  # fmt: skip
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [line.split(":", 1)[1] for line in told.stdout.splitlines() if line.startswith(_RESULT)]
        if len(lines) != 2:
            raise GlamError(f"Flink's own tool gave no memory flags: {(told.stderr or told.stdout).strip()[-600:]}")
        return lines[0].split(), lines[1].split()

    def _start(self, name: str, command: Sequence[str]) -> None:
        with (self._folder / "logs" / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=self._folder,
                env={**os.environ, "FLINK_CONF_DIR": str(self._folder / "conf")},
            )  # fmt: skip

    def _wait(self, what: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not ready():
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise GlamError(f"{name} ended with {process.returncode}: see {self._folder}/logs/{name}.log")
            if time.monotonic() > deadline:
                raise GlamError(f"{what} not ready after {READY_SECONDS} s: see {self._folder}/logs")
            time.sleep(0.2)

    def _task_managers_ready(self) -> bool:
        try:
            return len(self.ask("/taskmanagers")["taskmanagers"]) >= self._task_managers
        except (OSError, ValueError):
            return False


_RUNTIME = "org.apache.flink.runtime"
_JOB_MANAGER = "StandaloneSessionClusterEntrypoint"
_RESULT = "BASH_JAVA_UTILS_EXEC_RESULT:"


def listens(port: int) -> bool:
    """Tell whether something on this machine takes connections at a port."""
    with socket.socket() as one:
        one.settimeout(1)
        return one.connect_ex((ADDRESS, port)) == 0
