"""A job on Flink is followed through the cluster's REST interface, here one that answers as a cluster does."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from apache_beam.metrics.metricbase import MetricName
from apache_beam.metrics.monitoring_infos import int64_user_counter
from apache_beam.portability.api import beam_job_api_pb2
from google.protobuf import json_format

from pipelines.flink_job import ACCUMULATOR, FlinkJob
from pipelines.job_progress import NAME, NAMESPACE

JOBS = [
    {"jid": "1", "name": "glam-extract-0", "tasks": {"finished": 4, "total": 4}},
    {"jid": "2", "name": "glam-pack-1", "tasks": {"finished": 3, "total": 14}},
]


def metrics(*counters):
    """Return the text of Flink's accumulator: what `MetricsContainerStepMap.toString` writes."""
    response = beam_job_api_pb2.GetJobMetricsResponse()
    for step, name, value in counters:
        response.metrics.attempted.append(int64_user_counter(name.namespace, name.name, value, ptransform=step))
    return json_format.MessageToJson(response)


@pytest.fixture
def cluster():
    """(address, answers by path) of a REST interface."""
    answers = {"/jobs/overview": {"jobs": JOBS}}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer = answers.get(self.path)
            self.send_response(200 if answer is not None else 404)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_):
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}", answers
    server.shutdown()
    thread.join()
    server.server_close()


def test_units_of_all_steps_and_tasks_are_told(cluster):
    address, answers = cluster
    job = FlinkJob(address, "glam-pack-1")
    answers["/jobs/2/accumulators"] = {"user-task-accumulators": []}
    assert job.progress() == (0, "3 of 14 tasks")
    done, other = MetricName(NAMESPACE, NAME), MetricName("deduplicate", "shuffled_bytes")
    text = metrics(("read", done, 300), ("write", done, 40), ("write", other, 5000))
    answers["/jobs/2/accumulators"] = {"user-task-accumulators": [{"name": ACCUMULATOR, "type": "…", "value": text}]}
    assert job.progress() == (340, "3 of 14 tasks")


def test_a_job_that_is_not_there_yet_has_done_nothing(cluster):
    assert FlinkJob(cluster[0], "glam-sample-2").progress() == (0, "")


def test_what_a_restarted_job_had_done_is_not_taken_back(cluster):
    address, answers = cluster
    job = FlinkJob(f"http://{address}", "glam-pack-1")
    for value, told in ((300, 300), (100, 300), (310, 310)):
        text = metrics(("read", MetricName(NAMESPACE, NAME), value))
        answers["/jobs/2/accumulators"] = {"user-task-accumulators": [{"name": ACCUMULATOR, "value": text}]}
        assert job.progress() == (told, "3 of 14 tasks")


@pytest.mark.parametrize("broken", [None, {}, {"user-task-accumulators": [{"name": ACCUMULATOR, "value": "no JSON"}]}])
def test_a_cluster_that_answers_oddly_ends_nothing(cluster, broken):
    address, answers = cluster
    job = FlinkJob(address, "glam-pack-1")
    answers["/jobs/2/accumulators"] = broken
    assert job.progress() == (0, "")


def test_a_cluster_that_is_gone_ends_nothing():
    assert FlinkJob("127.0.0.1:1", "glam-pack-1").progress() == (0, "")
