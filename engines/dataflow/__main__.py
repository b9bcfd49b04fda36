"""A whole build as one Dataflow job, which is what a flex template starts: `python -m engines.dataflow`.

    python -m engines.dataflow --config gs://BUCKET/corpus.toml --store gs://BUCKET/store --runner=DataflowRunner …

The job has one element. The worker that gets it runs `glam build`, which submits the jobs of the stages, one after the
other, and waits for each. A build that was cut off goes on after its last finished stage, so an element that is tried
again, after its worker was lost, does too. On any other runner it is the same, e.g. on this machine without `--runner`.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.store.errors import GlamError, errors_told
from pipelines.store.files import read_bytes

STAGE_OPTIONS = (
    "runner", "project", "region", "temp_location", "service_account_email", "sdk_container_image", "network",
    "subnetwork",
)  # fmt: skip
"""Options of this job that the jobs of the stages have too."""


class BuildOptions(PipelineOptions):
    """What is to be built."""

    @classmethod
    def _add_argparse_args(cls, parser: ArgumentParser) -> None:
        parser.add_argument("--config", help="corpus configuration (TOML), on any file system")
        parser.add_argument("--store", help="address of the store; every worker must reach it")
        parser.add_argument("--changes", default="", help="key=value of the configuration, one a line")
        parser.add_argument("--stage_options", default="", help="Beam's options of the stages' jobs alone, by blanks")


class RunBuild(beam.DoFn):
    """Runs `glam build` to its end."""

    def process(self, order: dict[str, Any]) -> Iterable[str]:
        """Yield the build's answer as JSON.

        Raises:
            GlamError: when the build does not end well; its own words are in the log.
        """
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder, "corpus.toml")
            config.write_bytes(read_bytes(order["config"]))
            command = [sys.executable, "-m", "glam", "build", str(config), "--store", order["store"], "--json"]
            command += [part for change in order["changes"] for part in ("--set", change)]
            said = _logged([*command, "--", *order["stage_options"]])
        yield said.splitlines()[-1]


def _logged(command: Sequence[str]) -> str:
    """Run a command, log what it says on stderr, and return its stdout."""
    with (
        tempfile.TemporaryFile("w+") as answer,
        subprocess.Popen(command, stdout=answer, stderr=subprocess.PIPE, text=True) as process,
    ):
        last = ""
        for line in process.stderr or ():
            last = line.strip()
            logging.info("%s", last)
        if process.wait():
            raise GlamError(f"the build ended with {process.returncode}: {last}")
        answer.seek(0)
        return answer.read()


def order_of(options: PipelineOptions) -> dict[str, Any]:
    """Return what the element says: files, changes, and Beam's options of the stages' jobs.

    Raises:
        GlamError: when the configuration or the store is missing.
    """
    wanted, every = options.view_as(BuildOptions), options.get_all_options(drop_default=True)
    if not (wanted.config and wanted.store):
        raise GlamError("give --config and --store")
    shared = [_option(name, every[name]) for name in STAGE_OPTIONS if name in every]
    return {
        "config": wanted.config,
        "store": wanted.store,
        "changes": wanted.changes.splitlines(),
        "stage_options": shared + wanted.stage_options.split(),
    }


def _option(name: str, value: Any) -> str:
    return f"--{name}" if value is True else f"--{name}={value}"


def add_build(pipeline: beam.Pipeline, order: dict[str, Any]) -> beam.PCollection:
    """Add the job's transforms; return the build's answer, which is logged too."""
    made = pipeline | "Order" >> beam.Create([json.dumps(order)]) | "Read order" >> beam.Map(json.loads)
    answer = made | "Build" >> beam.ParDo(RunBuild())
    _ = answer | "Tell" >> beam.Map(logging.warning)
    return answer


def main(arguments: Sequence[str] | None = None) -> None:
    """Submit the job; wait for its end."""
    with errors_told():
        options = PipelineOptions(arguments)
        order = order_of(options)
        pipeline = beam.Pipeline(options=options)
        add_build(pipeline, order)
        pipeline.run().wait_until_finish()


if __name__ == "__main__":
    main()
