"""Every engine tells what its workers counted; a job that runs elsewhere has a name of its own."""

from __future__ import annotations

import re
import time
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from pipelines.engine import Engine, EngineError
from pipelines.job_progress import NAME, report
from pipelines.progress import SilentDisplay


class Count(beam.DoFn):
    def process(self, units):
        report(units)
        yield units


@pytest.mark.parametrize(
    "options",
    [(), ("--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=LOOPBACK")],
    ids=["this process", "portable job service"],
)
def test_what_workers_report_is_a_counter_at_the_end(options):
    def build(pipeline):
        _ = pipeline | beam.Create([3, 4, 5]) | beam.Reshuffle() | beam.ParDo(Count())

    assert Engine(options).run("count", build, 12, "documents")[NAME] == 12


def test_an_object_store_that_does_not_answer_a_worker_is_told_with_the_remedy():
    def ask(url):
        raise RuntimeError(f'Could not connect to the endpoint URL: "{url}"')

    def build(pipeline):
        _ = pipeline | beam.Create(["http://127.0.0.1:9/corpora/store/part"]) | beam.Map(ask)

    with pytest.raises(EngineError, match=r"extract: s3://corpora/store/part: the object store at .* does not answer"):
        Engine().run("extract", build)


class CountAndWait(beam.DoFn):
    """Goes on once what it counted was shown."""

    def __init__(self, shown):
        self.shown = shown

    def process(self, units):
        report(units)
        deadline = time.monotonic() + 200
        while not Path(self.shown).exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        yield units


def test_what_workers_report_is_shown_while_the_job_runs(tmp_path):
    told = []

    class Shown(SilentDisplay):
        def start(self, *step):
            told.append(step)

        def move(self, done, detail=""):  # noqa: ARG002
            if done:
                told.append(done)
                (tmp_path / "shown").touch()

    def build(pipeline):
        _ = pipeline | beam.Create([7]) | beam.ParDo(CountAndWait(str(tmp_path / "shown")))

    for _ in range(2):  # however soon after another job
        told.clear()
        (tmp_path / "shown").unlink(missing_ok=True)
        Engine((), Shown()).run("sample", build, 28, "documents")
        assert told[:2] == [("sample", 28, "documents"), 7]


def test_jobs_that_run_elsewhere_have_names_that_no_other_has():
    names = []
    for begin in ((), (), ("--job_name=mine",)):
        options = PipelineOptions(list(begin))
        assert Engine(["--runner=PortableRunner"])._elsewhere(options, "contamination of A_1") is None
        names.append(options.view_as(GoogleCloudOptions).job_name)
    assert all(re.fullmatch(r"(glam|mine)-contamination-of-a-1-[0-9a-f]{8}", name) for name in names)
    assert len(set(names)) == 3
    assert names[2].startswith("mine-")


def test_a_job_on_flink_is_followed_where_the_cluster_is_named():
    options = PipelineOptions(["--flink_master=host:8081"])
    assert Engine(["--runner=PortableRunner"])._elsewhere(options, "extract") is not None
    assert Engine()._elsewhere(options, "extract") is None
