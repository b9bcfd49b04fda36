"""The job that Beam's Dataflow runner would submit, made without a cloud account.

`--dry_run=True` makes the runner translate a pipeline for the service (its own transforms, its checks of coders, its
optimizer, the workers' container) and stop before it connects. Where Google's packages are missing, the last step,
which only wraps the translated pipeline for the service's client, is left out; nothing of the translation is.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, WorkerOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner
from apache_beam.runners.pipeline_utils import validate_pipeline_graph

CLIENT = "apache_beam.runners.dataflow.internal.apiclient"
GOOGLE = bool(importlib.util.find_spec("google.cloud") and importlib.util.find_spec("google.cloud.dataflow"))
IMAGE = "us-docker.pkg.dev/planned/glam/worker:1"
OPTIONS = [
    "--runner=DataflowRunner",
    "--dry_run=True",
    "--project=planned",
    "--region=us-central1",
    "--temp_location=gs://bucket/temp",
    "--job_name=glam",
    f"--sdk_container_image={IMAGE}",
]


class _Job:
    """The job without the service's wrapping."""

    def __init__(self, options: PipelineOptions, proto_pipeline: beam_runner_api_pb2.Pipeline) -> None:
        validate_pipeline_graph(proto_pipeline)
        self.options, self.proto_pipeline = options, proto_pipeline


@contextmanager
def _client() -> Iterator[None]:
    """Have a client for the runner to import: the real one if its packages are here."""
    if GOOGLE:
        yield
        return
    module = ModuleType(CLIENT)
    vars(module).update(
        Job=_Job, get_container_image_from_options=lambda o: o.view_as(WorkerOptions).sdk_container_image
    )
    sys.modules[CLIENT] = module
    try:
        yield
    finally:
        del sys.modules[CLIENT]


def dataflow_job(build: Callable[[beam.Pipeline], Any]) -> beam_runner_api_pb2.Pipeline:
    """Return the pipeline that the runner hands to the service.

    Args:
        build: adds the job's transforms to a pipeline.
    """
    with _client():
        pipeline = beam.Pipeline(runner=DataflowRunner(), options=PipelineOptions(OPTIONS))
        build(pipeline)
        return pipeline.run().job.proto_pipeline
