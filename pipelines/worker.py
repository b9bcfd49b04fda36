"""Starts Beam's Python worker on a machine of a cluster: what a runner's PROCESS environment calls.

The runner gives the worker's id and the address of its provision service, which knows the rest. Installed with the
project as `glam-worker`; every machine of a cluster needs it, and the project, in the Python that it runs in.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence

WORKER = "apache_beam.runners.worker.sdk_worker_main"


def main(arguments: Sequence[str] | None = None) -> None:
    """Become Beam's worker."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--id", required=True, help="of the worker, chosen by the runner")
    parser.add_argument("--provision_endpoint", required=True, help="address of the runner's provision service")
    known, _ = parser.parse_known_args(arguments)
    os.execve(sys.executable, [sys.executable, "-m", WORKER], {**os.environ, **_environment(known)})


def _environment(known: argparse.Namespace) -> dict[str, str]:
    """Return the variables in which Beam's worker expects what the provision service tells."""
    import grpc
    from apache_beam.portability.api import beam_provision_api_pb2 as messages
    from apache_beam.portability.api import beam_provision_api_pb2_grpc as services
    from google.protobuf import json_format

    with grpc.insecure_channel(known.provision_endpoint) as channel:
        service = services.ProvisionServiceStub(channel)
        info = service.GetProvisionInfo(
            messages.GetProvisionInfoRequest(), metadata=[("worker_id", known.id)], timeout=60
        ).info
    return {
        "WORKER_ID": known.id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "SEMI_PERSISTENT_DIRECTORY": tempfile.gettempdir(),
        "CONTROL_API_SERVICE_DESCRIPTOR": f'url: "{info.control_endpoint.url}"',
        "LOGGING_API_SERVICE_DESCRIPTOR": f'url: "{info.logging_endpoint.url}"',
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }


if __name__ == "__main__":
    main()
