"""Any mutation of a valid file: every record is accounted for, those that it did not touch come out as before, and
nothing but a `GlamError` is ever raised.

A mutation puts other bytes in the place of some: none, random ones, a piece of the file itself, marks of the format.
"""

from __future__ import annotations

import bz2
import gzip
import json
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.sources.record import Quarantined, Record, Skipped, Used
from pipelines.sources.registry import READERS
from pipelines.store.errors import GlamError
from tests.faults.corpus import dump, line, page, warc_record, wiki_page

TEXTS = [f"Text {n} tells of the number {n}, in several words.\n\nIt ends with {n}." for n in range(8)]
LONGEST_SECONDS = 120
"""A reader that takes longer hangs; it takes some milliseconds."""
HEAD_BYTES = 8
"""The first bytes of a file tell compression and encoding: damage in them may cost the whole file."""


@dataclass(frozen=True)
class Format:
    """A valid file of a format.

    Attributes:
        reader: its name.
        pieces: of the file, in order; those that hold a record give one document.
        marks: bytes that mean something in the format.
    """

    reader: str
    pieces: list[bytes]
    marks: list[bytes] = field(default_factory=list)

    @cached_property
    def data(self) -> bytes:
        return b"".join(self.pieces)

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        """The bytes of the file that each piece takes."""
        ends = [sum(map(len, self.pieces[: n + 1])) for n in range(len(self.pieces))]
        return [(end - len(piece), end) for end, piece in zip(ends, self.pieces, strict=True)]

    @cached_property
    def places(self) -> list[int]:
        """Where lines and tags begin or end, and digits stand: more is told there than elsewhere."""
        return [found.start() for found in re.finditer(rb"(?<=Length: )|[<>\n\"]|(?<=\n)|[0-9]", self.data)]


def _members(pieces: list[bytes]) -> list[bytes]:
    return [gzip.compress(piece, mtime=0) for piece in pieces]


WARC = [warc_record(n, page(text)) for n, text in enumerate(TEXTS)]
WARC_MARKS = [
    b"WARC/1.1\r\n",
    b"\r\n\r\n",
    b"Content-Length: 400\r\n",
    b"Content-Length: 99999999999\r\n",
    b"9",
    b"\r\n",
]
LINES = [line(n, text) for n, text in enumerate(TEXTS)]
HEAD, _, TAIL = dump(["HERE"]).partition(b"HERE")
PAGES = [HEAD, *(wiki_page(n, text).encode() for n, text in enumerate(TEXTS)), TAIL]
PAGE_MARKS = [b"<page>", b"</page>", b"<mediawiki>", b"</mediawiki>", b"<siteinfo>", b"<!--", b"<![CDATA[", b"&", b"<"]
POSTS_HEAD, POSTS_TAIL = b'<?xml version="1.0" encoding="utf-8"?>\n<posts>\n', b"</posts>\n"
POSTS = [
    f'  <row Id="{n + 1}" PostTypeId="1" Title="Title {n}" Body={quoteattr(f"<p>{text}</p>")} />\n'.encode()
    for n, text in enumerate(TEXTS)
]
POST_MARKS = [b"<row ", b"/>", b"</posts>", b'"', b"&", b"&#0;", b'PostTypeId="2"', b'ParentId="1"', b'Id="2"']
FRAMES = (HEAD, TAIL, POSTS_HEAD, POSTS_TAIL)
FORMATS = {
    "warc": Format("warc", WARC, WARC_MARKS),
    "warc.gz": Format("warc", _members(WARC), [b"\x1f\x8b\x08", b"\0" * 8]),
    "mediawiki": Format("mediawiki", PAGES, PAGE_MARKS),
    "jsonl": Format("jsonl", LINES, [b"\n", b"{", b'"', b"\\", b"[" * 2000, b"1" * 5000, b"NaN", b"\\ud800"]),
    "jsonl.gz": Format("jsonl", _members(LINES), [b"\x1f\x8b\x08", b"\0" * 8]),
    "jsonl.bz2": Format("jsonl", [bz2.compress(piece) for piece in LINES], [b"BZh9", b"1AY&SY", b"\x17rE8P\x90"]),
    "stack_exchange": Format("stackexchange", [POSTS_HEAD, *POSTS, POSTS_TAIL], POST_MARKS),
}
EVERY = pytest.mark.parametrize("name", FORMATS)


@st.composite
def mutations(draw: Callable, form: Format) -> tuple[int, int, bytes]:
    """Draw (start, end, bytes): what is put in the place of which bytes."""
    place = st.integers(0, len(form.data)) | st.sampled_from(form.places)
    start = draw(place)
    end = min(len(form.data), start + draw(st.sampled_from([0, 1, 2, 40, 300, len(form.data)])))
    part = st.binary(max_size=40) | st.sampled_from(form.marks) | st.builds(_slice, st.just(form.data), place, place)
    return start, end, b"".join(draw(st.lists(part, max_size=3)))


def _slice(data: bytes, one: int, other: int) -> bytes:
    return data[min(one, other) : max(one, other)]


@contextmanager
def no_hang() -> Iterator[None]:
    def stop(_number: int, _frame: object) -> None:
        raise TimeoutError(f"nothing came for {LONGEST_SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LONGEST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read(form: Format, data: bytes, folder) -> list[Record]:
    path = folder / "file"
    path.write_bytes(data)
    found: list[Record] = []
    with no_hang():
        try:
            found.extend(READERS[form.reader]({}).read(str(path)))
        except GlamError as error:
            assert str(path) in str(error)  # noqa: PT017  (it need not be raised)
    return found


def texts(records: list[Record]) -> list[str]:
    return [text.text for record in records if isinstance(record.outcome, Used) for text in record.outcome.texts]


@EVERY
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_mutation_costs_what_it_hit_and_everything_is_accounted_for(name, data, tmp_path):
    form = FORMATS[name]
    start, end, put = data.draw(mutations(form))
    mutated = form.data[:start] + put + form.data[end:]
    records = read(form, mutated, tmp_path)
    for record in records:
        assert isinstance(record.outcome, Used | Skipped | Quarantined)
        assert record.raw_bytes >= 0
        if isinstance(record.outcome, Quarantined):
            assert record.outcome.reason
            assert record.outcome.detail
    if not name.endswith((".gz", ".bz2")):
        assert sum(record.raw_bytes for record in records) <= len(mutated)
    if name == "stack_exchange":
        _require_all_but_the_displaced(records, start, end, tmp_path)
        return
    found = texts(records)
    sound = dict(zip((span for span in form.spans), _text_of_pieces(name, tmp_path), strict=True))
    before = [text for (_, stop), text in sound.items() if stop <= start]
    assert found[: len([text for text in before if text])] == [text for text in before if text]
    if start >= HEAD_BYTES:
        _, *behind = [text for (begin, _), text in sound.items() if begin >= end] or [""]
        assert not {text for text in behind if text} - set(found)


def _require_all_but_the_displaced(records: list[Record], start: int, end: int, folder) -> None:
    """Require every sound question; a damaged row may have become its answer, or taken its number before it."""
    pieces = zip(FORMATS["stack_exchange"].spans, _text_of_pieces("stack_exchange", folder), strict=True)
    sound = {span: text for span, text in pieces if text}
    before = [text for (_, stop), text in sound.items() if stop <= start]
    _, *behind = [text for (begin, _), text in sound.items() if begin >= end] or [""]
    found = texts(records)
    assert all(any(text in document for document in found) for text in before)
    displaced = sum(record.outcome == Skipped("repeated_id") for record in records)
    if start >= HEAD_BYTES:
        assert sum(not any(text in document for document in found) for text in behind) <= displaced


_texts_of: dict[str, list[str]] = {}


def _text_of_pieces(name: str, folder) -> list[str]:
    """Return the text of each piece of a sound file; empty for head and tail."""
    if name not in _texts_of:
        form = FORMATS[name]
        found = iter(texts(read(form, form.data, folder)))
        _texts_of[name] = ["" if piece in FRAMES else next(found) for piece in form.pieces]
    return _texts_of[name]


@pytest.mark.parametrize("name", ["warc", "mediawiki", "jsonl", "stack_exchange"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=30))
def test_many_changed_bytes_raise_nothing(name, places, tmp_path):
    form, data = FORMATS[name], bytearray(FORMATS[name].data)
    for share, byte in places:
        data[int(share * (len(data) - 1))] = byte
    for record in read(form, bytes(data), tmp_path):
        assert isinstance(record.outcome, Used | Skipped | Quarantined)
        json.dumps([record.offset, record.raw_bytes, record.native_key])


def test_a_length_beyond_all_limits_does_not_cost_the_records_behind_it(tmp_path):
    form = FORMATS["warc"]
    for length in (b"99999999999", b"9" * 18, b"9" * 19, b"9" * 5000, "١٢".encode()):
        data = form.data.replace(b"Content-Length: ", b"Content-Length: " + length, 1)
        records = read(form, data, tmp_path)
        assert texts(records) == _text_of_pieces("warc", tmp_path)[1:]
        assert sum(isinstance(record.outcome, Quarantined) for record in records) in (1, 2)
