"""Run one job alone as a Beam program: `python -m pipelines.JOB --config FILE --store DIR --runner=… [Beam options]`.

What the job reads and the store does not hold yet is made first, with the same options.
"""

from __future__ import annotations

import argparse
import logging
import os

from pipelines.store.errors import errors_told
from pipelines.store.presence import silence_told


def main(job: str, arguments: list[str] | None = None) -> None:
    """Read the arguments and run the job `job` (one of `pipelines.build.STEPS`); exit with 1 on an error of the
    user's.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m pipelines.{job}",
        description=f"Run the job {job!r} of a corpus, and what it needs. Further options are Beam's.",
        epilog=f"Example: python -m pipelines.{job} --config configs/demo.toml --store store --direct_num_workers=2",
    )
    parser.add_argument("--config", required=True, help="corpus configuration (TOML)")
    parser.add_argument("--store", default=os.environ.get("GLAM_STORE", "store"), help="folder or address of the store")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key")
    logging.getLogger().setLevel(logging.ERROR)  # libraries warn at import about what is not used here
    known, beam_options = parser.parse_known_args(arguments)
    from pipelines.build import build
    from pipelines.config import load_corpus_config
    from pipelines.progress import TerminalDisplay

    with errors_told(), silence_told():
        config = load_corpus_config(known.config, known.set)
        build(config, known.store, beam_options, TerminalDisplay(), until=job)
