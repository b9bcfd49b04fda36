"""`python -m engines.flink`: a Flink cluster on this machine, until Ctrl-C or SIGTERM.

python -m engines.flink --folder build/flink
glam build configs/demo.toml --store store -- $(cat build/flink/beam-options)
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from engines.flink.artefacts import BEAM_VERSION, FLINK_VERSION, fetch
from engines.flink.cluster import Cluster
from pipelines.store.errors import errors_told


def main() -> None:
    """Start a cluster, say how to use it, and stop it at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("build/flink"), help="of configuration and logs")
    parser.add_argument("--flink-version", default=FLINK_VERSION, help=f"{FLINK_VERSION} by default")
    parser.add_argument("--beam-version", default=BEAM_VERSION, help=f"of Beam's runner, {BEAM_VERSION} by default")
    parser.add_argument("--job-server-jar", type=Path, help="Beam's job server in one jar, in place of --beam-version")
    parser.add_argument("--task-managers", type=int, default=2, help="processes that run the work")
    parser.add_argument("--fetch-only", action="store_true", help="fill the cache and stop")
    arguments = parser.parse_args()
    with errors_told():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        artefacts = fetch(arguments.flink_version, arguments.beam_version, arguments.job_server_jar)
        if arguments.fetch_only:
            return
        cluster = Cluster(artefacts, arguments.folder, arguments.task_managers)
        try:
            cluster.start()
            (arguments.folder / "beam-options").write_text("\n".join(cluster.beam_options()) + "\n")
            print(f"Flink is ready; dashboard: {cluster.dashboard}; logs: {arguments.folder / 'logs'}", file=sys.stderr)
            print(f"Beam's options for it are in {arguments.folder / 'beam-options'}; Ctrl-C stops it", file=sys.stderr)
            while all(process.poll() is None for process in cluster.processes.values()):
                time.sleep(0.5)
            print("a process of the cluster ended; the others are stopped", file=sys.stderr)
            sys.exit(1)
        finally:
            cluster.stop()


if __name__ == "__main__":
    main()
