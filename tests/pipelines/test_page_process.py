"""Pages that take too long or crash native code cost themselves and nothing else."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines import page_process
from pipelines.html import MAX_NESTING, Page
from pipelines.page_process import (
    CRASHED,
    MAX_BYTES_HERE,
    MAX_TAGS_HERE,
    NESTED_TOO_DEEP,
    TOO_SLOW,
    PageLimits,
    extract_within,
)
from pipelines.sources.html import HtmlReader

LIMITS = PageLimits(MAX_NESTING, max_seconds=1)
LARGE = (
    b"<article>" + b"<p>A sentence that says something at some length about this and that.</p>" * 5000
) + b"</article>"
SLOW = b"<html><body>" + b"<div>" * 60_000 + b"text"  # within the nesting that the tests below allow
GREEDY = b"<article>" + b"<p>x" * 3_000_000


def child_ids() -> set[str]:
    return set(Path(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/children").read_text().split())


def test_a_large_page_is_the_same_from_the_process_beside(monkeypatch):
    assert len(LARGE) > MAX_BYTES_HERE
    assert LARGE.count(b"<") > MAX_TAGS_HERE
    beside = extract_within(LARGE, "utf-8", LIMITS)
    monkeypatch.setattr(page_process, "MAX_BYTES_HERE", len(LARGE))
    monkeypatch.setattr(page_process, "MAX_TAGS_HERE", len(LARGE))
    here = extract_within(LARGE, "utf-8", LIMITS)
    assert isinstance(here, Page)
    assert here == beside
    assert here.text.count("A sentence") == 5000


def test_one_process_serves_many_pages():
    extract_within(LARGE, None, LIMITS)
    first = child_ids()
    for _ in range(3):
        extract_within(LARGE, None, LIMITS)
    assert child_ids() == first


def test_a_page_past_its_cpu_time_is_ended_and_the_next_one_is_extracted():
    before = child_ids()
    slow = extract_within(SLOW, None, PageLimits(10**9, max_seconds=1))
    assert (slow.reason, slow.detail) == (TOO_SLOW, "not extracted within 1 CPU seconds")
    assert isinstance(extract_within(LARGE, None, LIMITS), Page)
    assert len(child_ids() - before) <= 1


def test_time_spent_on_earlier_pages_does_not_count():
    heavy = PageLimits(10**9, max_seconds=2)
    page = b"<html><body>" + b"<div>" * 4_500 + b"text"  # most of a second each
    assert [type(extract_within(page, None, heavy)) for _ in range(4)] == [Page] * 4


def test_a_page_that_takes_the_process_down_costs_itself():
    with ThreadPoolExecutor(1) as thread:
        few = PageLimits(MAX_NESTING, max_seconds=0, max_bytes=250 << 20)
        failure = thread.submit(extract_within, GREEDY, None, few).result()
        assert failure.reason == CRASHED
        assert failure.detail
        assert isinstance(thread.submit(extract_within, LARGE, None, few).result(), Page)


def test_what_native_code_raises_costs_the_page(monkeypatch):
    class Panic(BaseException):
        """As Rust's panics arrive: no subclass of Exception."""

    def panic(*_):
        raise Panic("index out of bounds")

    monkeypatch.setattr(page_process, "extract_page", panic)
    failure = extract_within(b"<p>text", None, LIMITS)
    assert (failure.reason, failure.detail) == (CRASHED, "Panic: index out of bounds")


def test_nesting_is_refused_beside_as_here():
    here = extract_within(b"<div>" * 3000, None, LIMITS)
    beside = extract_within(b"<div>" * 30_000, None, LIMITS)
    assert here.reason == beside.reason == NESTED_TOO_DEEP


def test_readers_skip_a_slow_page_and_count_it(tmp_path):
    path = tmp_path / "page.html"
    path.write_bytes(SLOW)
    (record,) = HtmlReader({"max_nesting": 10**9, "max_seconds_per_page": 1}).read(str(path))
    assert record.outcome.reason == "too_slow"
    assert record.raw_bytes == len(SLOW)


@pytest.mark.parametrize("options", [{"max_seconds_per_page": -1}, {"max_nesting": 0}])
def test_limits_are_checked(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        HtmlReader(options)
