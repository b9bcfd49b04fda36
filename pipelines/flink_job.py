"""How far a job on a Flink cluster is, asked of the cluster's REST interface while the job runs.

In: the address of the JobManager, the job's name. Out: what `pipelines.job_progress.report` counted, and the cluster's
tasks. Flink keeps Beam's metrics as one accumulator of the job, whose text is JSON of Beam's own message. In a batch
job a worker's counts arrive when its part of a step is done, so they move in steps.
"""

from __future__ import annotations

import json
import urllib.request
from contextlib import suppress
from typing import Any

from google.protobuf import json_format

from pipelines.job_progress import NAME, NAMESPACE

ACCUMULATOR = "__metricscontainers"
SECONDS = 5


class FlinkJob:
    """A job that runs, or soon will.

    Args:
        master: HOST:PORT of the REST interface, as in `--flink_master`.
        name: of the job, which no other has.
    """

    def __init__(self, master: str, name: str) -> None:
        self._url = master if master.startswith("http") else f"http://{master}"
        self._name = name
        self._told = (0, "")

    def progress(self) -> tuple[int, str]:
        """Return units done and a word on tasks; the last known ones where the cluster does not answer."""
        with suppress(OSError, ValueError, KeyError, json_format.ParseError):
            job = next((job for job in self._ask("/jobs/overview")["jobs"] if job["name"] == self._name), None)
            if job is not None:
                tasks = f"{job['tasks']['finished']} of {job['tasks']['total']} tasks"
                self._told = max(self._done(job["jid"]), self._told[0]), tasks
        return self._told

    def _done(self, job: str) -> int:
        found = self._ask(f"/jobs/{job}/accumulators")["user-task-accumulators"]
        texts = [each["value"] for each in found if each["name"] == ACCUMULATOR]
        if not texts:
            return 0
        from apache_beam.portability.api import beam_job_api_pb2
        from apache_beam.runners.portability.portable_runner import PortableMetrics

        metrics = PortableMetrics(json_format.Parse(texts[0], beam_job_api_pb2.GetJobMetricsResponse()))
        return sum(
            counter.attempted or 0
            for counter in metrics.query()["counters"]
            if (counter.key.metric.namespace, counter.key.metric.name) == (NAMESPACE, NAME)
        )

    def _ask(self, path: str) -> Any:
        with urllib.request.urlopen(self._url + path, timeout=SECONDS) as answer:
            return json.load(answer)
