"""A build as one job of one element, as a flex template starts it: what it is told, what it hands on, how it fails."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from engines.dataflow.__main__ import RunBuild, add_build, main, order_of
from pipelines.store.errors import GlamError
from tests.engines.dataflow import OPTIONS, dataflow_job
from tests.pipelines.building import run_build
from tests.pipelines.small_corpus import write_corpus

FOLDER = Path(__file__).parents[2] / "engines" / "dataflow"
ASKED = ["--config=gs://bucket/corpus.toml", "--store=gs://bucket/store", "--changes=sample.alpha=3\nseed=5"]


def test_the_stages_jobs_get_project_place_image_and_options_of_their_own():
    options = [*OPTIONS, *ASKED, "--stage_options=--max_num_workers=9 --number_of_worker_harness_threads=2"]
    order = order_of(PipelineOptions([*options, "--template_location=gs://bucket/template", "--num_workers=1"]))
    assert order == {
        "config": "gs://bucket/corpus.toml",
        "store": "gs://bucket/store",
        "changes": ["sample.alpha=3", "seed=5"],
        "stage_options": [
            "--runner=DataflowRunner",
            "--project=planned",
            "--region=us-central1",
            "--temp_location=gs://bucket/temp",
            "--sdk_container_image=us-docker.pkg.dev/planned/glam/worker:1",
            "--max_num_workers=9",
            "--number_of_worker_harness_threads=2",
        ],
    }


def test_without_configuration_or_store_nothing_is_submitted():
    with pytest.raises(GlamError, match="give --config and --store"):
        order_of(PipelineOptions(OPTIONS))


def test_the_job_is_one_of_dataflow():
    order = order_of(PipelineOptions([*OPTIONS, *ASKED]))
    assert dataflow_job(lambda pipeline: add_build(pipeline, order)).ByteSize() < 100_000


def test_the_template_asks_for_what_the_job_takes():
    parameters = {entry["name"]: entry for entry in json.loads((FOLDER / "template.json").read_text())["parameters"]}
    known = set(PipelineOptions().get_all_options())
    assert set(parameters) <= known
    assert {name for name, entry in parameters.items() if not entry.get("isOptional")} == {
        "config",
        "store",
        "sdk_container_image",
    }


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A program in Python's place; it tells on stdout how it was called and what the configuration says."""
    path = tmp_path / "python"
    path.write_text('#!/bin/sh\necho "a line of progress" >&2\ncat "$4"\necho "$*"\n[ "$6" != broken ] || exit 3\n')
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))
    (tmp_path / "corpus.toml").write_text('name = "told"\n')
    return tmp_path


def test_the_worker_runs_glam_build_and_yields_its_answer(program):
    order = {"config": f"{program}/corpus.toml", "store": "s", "changes": ["seed=5"], "stage_options": ["--a=1", "--b"]}
    (said,) = RunBuild().process(order)
    assert said.startswith("-m glam build /")
    assert said.endswith("/corpus.toml --store s --json --set seed=5 -- --a=1 --b")


def test_a_build_that_fails_fails_the_job_with_its_own_words(program):
    order = {"config": f"{program}/corpus.toml", "store": "broken", "changes": [], "stage_options": []}
    with pytest.raises(GlamError, match="the build ended with 3: a line of progress"):
        list(RunBuild().process(order))


@pytest.mark.skipif(not os.environ.get("GLAM_EVERY_JOB"), reason="two whole builds: make dataflow-check")
def test_the_job_run_on_this_machine_makes_the_version_that_a_build_makes(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    config = write_corpus(tmp_path / "data", pages=24)
    main([f"--config={config}", f"--store={tmp_path / 'store'}", "--changes=seed=5"])
    made = run_build(config, tmp_path / "other", overrides=["seed=5"])
    found = {path.name for path in (tmp_path / "store" / "versions").iterdir()}
    assert found == {version.id for version in made.versions.values()}
