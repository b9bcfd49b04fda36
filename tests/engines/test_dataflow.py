"""The Dataflow job of every stage is made without a cloud account, and is as large for many input files as for few.

The jobs up to hold-out here; all of them with GLAM_EVERY_JOB=1 (`make dataflow-check`), which builds two whole corpora.
"""

from __future__ import annotations

import os

import pytest

from pipelines.build import STEPS, build
from pipelines.config import load_corpus_config
from pipelines.engine import Engine, EngineError
from pipelines.progress import SilentDisplay
from tests.engines.dataflow import GOOGLE, IMAGE, dataflow_job
from tests.pipelines.small_corpus import write_corpus

LIMIT = 10_000_000
"""Bytes of a job that the service accepts."""

EVERY_JOB = bool(os.environ.get("GLAM_EVERY_JOB"))
FIRST_JOBS = {"extract", "deduplicate", "holdout"}
JOBS = FIRST_JOBS | {
    "decontaminate",
    "frequent n-grams",
    *(f"contamination of {version}" for version in ("filtered", "random", "unfiltered")),
    "tokenizer sample",
    "tokenize",
    "classifier sample",
    "quality",
    "sample",
    "subset",
    "account",
    "pack",
    "pack_heldout",
}
"""Every job there is, as `Engine.run` is told of them."""


def jobs_of(folder, monkeypatch, warc_files, shards):
    """Build a corpus on this machine, and return the Dataflow job of each job that was run."""
    made = {}
    run_here = Engine.run

    def run(engine, label, build, total=None, unit=""):
        made.setdefault(label, dataflow_job(build))
        return run_here(engine, label, build, total, unit)

    config = write_corpus(folder / "data", names="abcdefghijklmnopqrstuvwxyz", warc_files=warc_files, pages=12)
    examples = folder / "data" / "examples.json-lines"
    examples.write_text('{"text": "a question of the set that nobody asks of a page"}\n')
    changes = [
        f"extract.shards={shards}",
        f"pack.shards={shards}",
        f"deduplicate.partitions={shards}",
        f"decontaminate.sets.made={{files=['{examples}'], fields=['text']}}",
        "decontaminate.ignore_frequent=10",
    ]
    with monkeypatch.context() as patched:
        patched.setattr(Engine, "run", run)
        until = STEPS[-1] if EVERY_JOB else "holdout"
        build(load_corpus_config(str(config), changes), str(folder / "store"), [], SilentDisplay(), until)
    return made


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """The jobs of the same pages in two files, and in twelve with more shards."""
    monkeypatch = pytest.MonkeyPatch()
    few = jobs_of(tmp_path_factory.mktemp("graph"), monkeypatch, warc_files=2, shards=2)
    many = jobs_of(tmp_path_factory.mktemp("graph"), monkeypatch, warc_files=12, shards=8)
    return few, many


def test_every_job_has_a_dataflow_job(jobs):
    assert set(jobs[0]) == set(jobs[1]) == (JOBS if EVERY_JOB else FIRST_JOBS)


def test_a_job_is_as_large_for_many_files_and_shards_as_for_few(jobs):
    few, many = ({label: job.ByteSize() for label, job in made.items()} for made in jobs)
    assert few == pytest.approx(many, rel=0.01)  # digits of numbers differ
    assert max(many.values()) < LIMIT / 20
    print({label: f"{size:,} bytes" for label, size in many.items()})


def test_a_job_runs_in_the_projects_container(jobs):
    for job in jobs[0].values():
        (environment,) = (e for e in job.components.environments.values() if e.urn == "beam:env:docker:v1")
        assert IMAGE.encode() in environment.payload


@pytest.mark.skipif(GOOGLE, reason="Google's packages are here")
def test_without_googles_packages_the_runner_is_refused_before_any_work():
    with pytest.raises(
        EngineError, match=r"--runner=DataflowRunner needs Google's packages: pip install 'glam\[gcp\]'"
    ):
        Engine(["--runner=DataflowRunner"])
