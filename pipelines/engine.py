"""The engine that runs a Beam job: one way to choose it, and the plumbing that every job shares.

The default is Beam's FnApiRunner, in this process or in several (`--direct_running_mode=multi_processing
--direct_num_workers=2`). `--runner=DirectRunner` means the same here, since Beam 2.77's own would first try to
download and start another runner. Every other `--runner=…` is Beam's, with Beam's options.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    DirectOptions,
    FlinkRunnerOptions,
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
)
from apache_beam.runners import create_runner
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipelines.blocks import Blocks, spilled
from pipelines.flink_job import FlinkJob
from pipelines.progress import Display, SilentDisplay, Watch
from pipelines.store.errors import GlamError
from pipelines.store.files import open_read, read_bytes, write_bytes
from pipelines.store.presence import silence
from pipelines.worker_process import deaths_told

LOCAL_RUNNERS = ("", "DirectRunner", "FnApiRunner")
REFUSED_RUNNERS = {"DaskRunner": "it lost documents without an error in Beam 2.77"}


class EngineError(GlamError):
    """The job cannot run as asked, or failed; the message says why."""


class Engine:
    """Runs Beam jobs with Beam's own options.

    Args:
        beam_options: the options after `--`, e.g. ["--direct_num_workers=2"].
        display: shows progress.
    """

    def __init__(self, beam_options: Sequence[str] = (), display: Display | None = None) -> None:
        self.display: Display = display or SilentDisplay()
        for option in beam_options:
            if not re.match(r"--\w+(=|$)", option) or option == "--runner":
                raise EngineError(f"{option}: not an option of Beam's; they stand after -- as --name=value")
        self._arguments = [a for a in beam_options if a.split("=")[0] != "--runner"]
        self._runner = next((a.split("=", 1)[1] for a in beam_options if a.startswith("--runner=")), "")
        if self._runner in REFUSED_RUNNERS:
            raise EngineError(
                f"--runner={self._runner} is refused: {REFUSED_RUNNERS[self._runner]}; use another runner"
            )
        self._check_options()
        direct = PipelineOptions(self._arguments).view_as(DirectOptions)
        self.workers = direct.direct_num_workers
        if self._runner in LOCAL_RUNNERS and self.workers > 1 and direct.direct_running_mode == "in_memory":
            self._arguments.append("--direct_running_mode=multi_processing")

    def _check_options(self) -> None:
        """Refuse an unknown runner, and on this machine an option that Beam does not know and would pass over."""
        if self._runner not in LOCAL_RUNNERS:
            try:
                create_runner(self._runner)
            except ValueError as error:
                raise EngineError(f"--runner={self._runner}: {error}") from error
            if self._runner == "DataflowRunner" and not _google_is_here():
                raise EngineError("--runner=DataflowRunner needs Google's packages: pip install 'glam[gcp]'")
            return
        parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
        for options in PipelineOptions.__subclasses__():
            options._add_argparse_args(parser)
        try:
            _, unknown = parser.parse_known_args(self._arguments)
        except (SystemExit, argparse.ArgumentError):
            unknown = self._arguments
        if unknown:
            raise EngineError(
                f"{' '.join(unknown)}: not an option of Beam; options after -- are Beam's, as --name=value"
            )

    def _elsewhere(self, options: PipelineOptions, label: str) -> Callable[[], tuple[int, str]] | None:
        """Name a job that runs elsewhere; return what tells of it while it runs, where something does."""
        if self._runner in LOCAL_RUNNERS:
            return None
        cloud, master = options.view_as(GoogleCloudOptions), options.view_as(FlinkRunnerOptions).flink_master
        cloud.job_name = _job_name(cloud.job_name or "glam", label)
        return None if master.startswith("[") else FlinkJob(master, cloud.job_name).progress

    def blocks(self, store_url: str) -> AbstractContextManager[Blocks]:
        """Return how blocks travel between the steps of a job that runs within the context."""
        return spilled(store_url) if self._runner in LOCAL_RUNNERS else nullcontext(Blocks())

    def run(
        self, label: str, build: Callable[[beam.Pipeline], Any], total: int | None = None, unit: str = ""
    ) -> dict[str, int]:
        """Build a job and run it to its end; return its Beam counters by name.

        Counters are for reports alone: a bundle that is tried again counts twice.

        Args:
            label: name of the job for progress.
            build: adds the job's transforms to a pipeline.
            total: units of work in all, if known; workers count them with `pipelines.progress.report`.
            unit: name of the unit.

        Raises:
            EngineError: when the job does not end well.
        """
        logging.getLogger("apache_beam").setLevel(logging.CRITICAL)  # what fails is raised, and told once
        options = PipelineOptions(self._arguments)
        if self._runner in LOCAL_RUNNERS:
            runner: Any = FnApiRunner()
        else:
            options.view_as(StandardOptions).runner = self._runner
            runner = None
        watch = Watch(self.display, label, total, unit, self._elsewhere(options, label))
        pipeline = beam.Pipeline(runner=runner, options=options)
        build(pipeline)
        try:
            with watch, deaths_told() as deaths:
                result = pipeline.run()
                state = result.wait_until_finish()
        except GlamError as error:
            raise EngineError(f"{label}: {_without_beam(str(error))}") from error
        except Exception as error:  # what a worker raised comes as Beam's own exception with the text of the trace
            lines = [line for line in str(error).strip().splitlines() if line.strip()]
            last = lines[-1] if lines else type(error).__name__
            if last.startswith("KeyboardInterrupt"):
                raise KeyboardInterrupt from None
            if told := (deaths[0] if deaths else silence(last)):
                raise EngineError(f"{label}: {told}") from error
            raise EngineError(f"{label}: {_without_beam(last)} (GLAM_TRACEBACK=1 shows the stack trace)") from error
        if state not in (None, "DONE"):
            raise EngineError(f"the job {label!r} ended in state {state}; the runner's log says why")
        return _counters(result)


def _job_name(begin: str, label: str) -> str:
    """Return a name that no other job has, of what every service takes: lower-case letters, digits and hyphens."""
    return f"{begin}-{re.sub('[^a-z0-9]+', '-', label.lower())}-{secrets.token_hex(4)}"


def _google_is_here() -> bool:
    return find_spec("google.cloud") is not None and find_spec("google.cloud.dataflow") is not None


def _counters(result: Any) -> dict[str, int]:
    """Return a finished job's counters summed over its steps; none where the runner keeps none."""
    counters: dict[str, int] = {}
    try:
        found = result.metrics().query()["counters"]
    except (NotImplementedError, AttributeError):
        return counters
    for counter in found:
        name = counter.key.metric.name
        counters[name] = counters.get(name, 0) + (counter.result or 0)
    return counters


def _without_beam(message: str) -> str:
    """Return a worker's message without the name of the step that Beam adds."""
    return re.sub(r" \[while running '.*'\]$", "", message)


class _ReadLines(beam.DoFn):
    """Reads the JSON lines of a work list."""

    def process(self, url: str) -> Iterable[dict[str, Any]]:
        """Yield each line's object."""
        with open_read(url) as file:
            for line in file:
                yield json.loads(line)


def write_work_list(url: str, work: Iterable[Mapping[str, Any]]) -> None:
    """Write what a job has to do as JSON lines, one file or shard a line."""
    write_bytes(url, b"".join(json.dumps(item, sort_keys=True).encode() + b"\n" for item in work))


def read_work_list(pipeline: beam.Pipeline, url: str) -> beam.PCollection:
    """Return the items of a work list, spread over the workers.

    The job graph holds the list's url alone, so that its size does not grow with the number of files.
    """
    return (
        pipeline
        | "Work list" >> beam.Create([url])
        | "Read work list" >> beam.ParDo(_ReadLines())
        | "Spread work" >> beam.Reshuffle()
    )


class _WriteResults(beam.DoFn):
    """Writes all results of a job as sorted JSON lines."""

    def __init__(self, url: str) -> None:
        self._url = url

    def process(self, keyed: tuple[int, Iterable[str]]) -> None:
        """Write the file."""
        write_bytes(self._url, "".join(f"{line}\n" for line in sorted(keyed[1])).encode())


def write_results(results: beam.PCollection, url: str) -> None:
    """Gather small JSON objects (counts, names of written files) into one file for the driver.

    They travel as elements, not as Beam metrics, because a bundle that is tried again counts once as an element.
    """
    _ = (
        results
        | "To JSON" >> beam.Map(lambda item: (0, json.dumps(item, sort_keys=True)))
        | "Gather results" >> beam.GroupByKey()
        | "Write results" >> beam.ParDo(_WriteResults(url))
    )


def read_results(url: str) -> list[dict[str, Any]]:
    """Read what `write_results` gathered."""
    return [json.loads(line) for line in read_bytes(url).splitlines()]


class ReadOutputs(beam.PTransform):
    """Reads a list of output shards as (number, item): the key at which a shard's parts meet the place to write it."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def expand(self, root: beam.Pipeline) -> beam.PCollection:
        """Add the transforms."""
        return read_work_list(root, self._url) | "By number" >> beam.Map(lambda item: (item["number"], item))
