"""What a runner's PROCESS environment starts learns from the runner where it has to report."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc
from google.protobuf import json_format

from pipelines import worker


class Provision(beam_provision_api_pb2_grpc.ProvisionServiceServicer):
    """A runner's provision service."""

    def GetProvisionInfo(self, _, context):
        assert ("worker_id", "1-2") in context.invocation_metadata()
        info = beam_provision_api_pb2.ProvisionInfo(runner_capabilities=["a", "b"])
        info.control_endpoint.url, info.logging_endpoint.url = "host:1", "host:2"
        json_format.Parse('{"beam:option:parallelism:v1": "2"}', info.pipeline_options)
        return beam_provision_api_pb2.GetProvisionInfoResponse(info=info)


@pytest.fixture
def address():
    server = grpc.server(ThreadPoolExecutor(1))
    beam_provision_api_pb2_grpc.add_ProvisionServiceServicer_to_server(Provision(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


def test_it_becomes_beams_worker_with_what_the_provision_service_tells(address, monkeypatch):
    started = []
    monkeypatch.setattr(worker.os, "execve", lambda *arguments: started.append(arguments))
    worker.main(["--id=1-2", f"--provision_endpoint={address}", "--an_option_of_a_newer_runner=1"])
    ((program, command, environment),) = started
    assert command == [program, "-m", "apache_beam.runners.worker.sdk_worker_main"]
    assert environment["WORKER_ID"] == "1-2"
    assert environment["CONTROL_API_SERVICE_DESCRIPTOR"] == 'url: "host:1"'
    assert environment["LOGGING_API_SERVICE_DESCRIPTOR"] == 'url: "host:2"'
    assert environment["RUNNER_CAPABILITIES"] == "a b"
    assert json.loads(environment["PIPELINE_OPTIONS"]) == {"beam:option:parallelism:v1": "2"}
    assert environment["PATH"]  # and what the runner's own process has


def test_the_runner_must_say_where_it_is(capsys):
    with pytest.raises(SystemExit):
        worker.main(["--id=1-2"])
    assert "--provision_endpoint" in capsys.readouterr().err
