"""Stack Exchange dumps: `Posts.xml`, one record a `<row>`, one document a question with its answers.

In: .xml, plain or compressed. Out, by question id: the title, the question, then its answers, best score first (equal
scores by id), HTML as text:

    Q: TITLE

    QUESTION

    A:

    ANSWER

A dump may be far larger than memory and answers lie anywhere behind their question, so rows are sorted by question on
the local disk (`spill.py`); held are `spill_bytes` and one document. Native key: site, space, id of the question.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from itertools import groupby
from typing import IO, Annotated, NamedTuple

from pydantic import Field, StringConstraints

from pipelines.html import NestedTooDeep, extract_fragment
from pipelines.sources.dates import BAD_DATE, iso_date
from pipelines.sources.decompression import decompressed
from pipelines.sources.joining import JoiningReader, Piece
from pipelines.sources.reader import NO_TEXT, TOO_LARGE, ReaderOptions, damaged
from pipelines.sources.record import Quarantined, Record, Skipped, Text
from pipelines.sources.scanner import Scanner, skip_blanks
from pipelines.sources.spill import BUFFER_BYTES, Entry, SortedSpill

_ROW_START = re.compile(rb"<row[\s/>]")
_NEXT = re.compile(rb"<row[\s/>]|</posts>")
_NEXT_WIDTH = len(b"</posts>")
_FRAME = re.compile(rb"\xef\xbb\xbf|<\?xml[^>]{0,200}\?>|</?posts>|</row>")
_FRAME_WIDTH = 256
_NUMBER, _SCORE = re.compile("[0-9]{1,18}"), re.compile("-?[0-9]{1,18}")
_HOST = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+")
_CHARACTER_REFERENCE = re.compile(r"&#(?:x([0-9a-fA-F]{1,8})|(\d{1,8}));")
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_QUESTION, _ANSWER = "1", "2"
_OTHER_TYPES = {
    "3": "wiki",
    "4": "tag_wiki_excerpt",
    "5": "tag_wiki",
    "6": "moderator_nomination",
    "7": "wiki_placeholder",
    "8": "privilege_wiki",
}


class StackExchangeOptions(ReaderOptions):
    """Options of Stack Exchange dumps.

    Attributes:
        site: host of the site; by default the name of the file's folder where that looks like one.
        spill_bytes: text that is held in memory before rows go to temporary files.
    """

    site: Annotated[str, StringConstraints(pattern=f"^{_HOST.pattern}$")] | None = None
    spill_bytes: int = Field(BUFFER_BYTES, ge=1)


class _Post(NamedTuple):
    """What is kept of a row until its question and answers are together."""

    offset: int
    raw_bytes: int
    title: str | None
    date: str | None
    text: str
    notes: tuple[str, ...]


class StackExchangeReader(JoiningReader):
    """Reads the questions of a dump with their answers; wiki pages and posts of other types are skipped."""

    Options = StackExchangeOptions

    def name_facts(self, url: str) -> str:
        """Return the site that the file's folder names."""
        return _site(self.options.site, url)

    def _records(self, file: IO[bytes], url: str) -> Iterator[Record]:
        site = _site(self.options.site, url)
        with SortedSpill(self.options.spill_bytes) as spill:
            yield from self._scan(Scanner(decompressed(file)), spill)
            for number, entries in groupby(spill.drain(), key=lambda entry: entry[0][0]):
                yield from self._question(site, number, entries)

    def _scan(self, scanner: Scanner, spill: SortedSpill) -> Iterator[Record]:
        """Put questions and answers into `spill`, yield the records of all other rows."""
        while not scanner.at_end():
            skip_blanks(scanner)
            offset, following = scanner.offset, scanner.peek(_FRAME_WIDTH)
            if _ROW_START.match(following):
                if record := self._next(scanner, spill):
                    yield record
            elif frame := _FRAME.match(following):
                scanner.skip(frame.end())
            elif damage := scanner.take_damage():
                yield damaged(offset, 0, damage)
            elif following:
                passed = scanner.skip(1) + scanner.skip_to(_NEXT, _NEXT_WIDTH)
                yield Record(offset, passed, Quarantined("not_a_row", f"{passed} bytes that belong to no <row>"))

    def _next(self, scanner: Scanner, spill: SortedSpill) -> Record | None:
        """Read the row that begins at the cursor: up to the next `<`, which no attribute can hold."""
        offset, limit = scanner.offset, self.options.max_record_bytes
        row = scanner.read(1) + scanner.read_until(b"<", limit)
        if row.endswith(b"<"):
            scanner.push_back(b"<")
            row = row[:-1].rstrip()
        elif len(row) > limit:
            return Record(offset, len(row) + scanner.skip_to(_NEXT, _NEXT_WIDTH), Skipped(TOO_LARGE))
        elif damage := scanner.take_damage():
            return damaged(offset, len(row), damage)
        found = _parse(row)
        if isinstance(found, Quarantined) and (end := row.find(b"/>") + 2) < len(row):
            behind, row = row[end:], row[:end]  # garbage behind a sound row costs nothing else
            scanner.push_back(behind)
            found = _parse(row)
        if isinstance(found, Quarantined):
            return Record(offset, len(row) + scanner.skip_to(_NEXT, _NEXT_WIDTH), found)
        return self._post(offset, len(row), *found, spill)

    def _post(
        self, offset: int, size: int, row: dict[str, str], notes: tuple[str, ...], spill: SortedSpill
    ) -> Record | None:
        """Put a question or answer into `spill`; return the record of any other row."""
        kind, number, parent = row.get("PostTypeId", ""), row.get("Id", ""), row.get("ParentId", "")
        score = row.get("Score", "0")
        if not (_NUMBER.fullmatch(kind) and _NUMBER.fullmatch(number) and _SCORE.fullmatch(score)):
            detail = f"Id {number!r:.40}, PostTypeId {kind!r:.40}, Score {score!r:.40}"
            return Record(offset, size, Quarantined("bad_fields", detail))
        if kind == _ANSWER and not _NUMBER.fullmatch(parent):
            detail = f"the answer {number} has ParentId {parent!r:.40}"
            return Record(offset, size, Quarantined("bad_fields", detail))
        if kind not in (_QUESTION, _ANSWER):
            return Record(offset, size, Skipped(_OTHER_TYPES.get(kind, "other_post_type")))
        try:
            text = extract_fragment(row.get("Body", ""))
        except NestedTooDeep as error:
            return Record(offset, size, Quarantined("nested_too_deep", str(error)))
        if kind == _ANSWER and not text:
            return Record(offset, size, Skipped(NO_TEXT))
        date = iso_date(row.get("CreationDate"))
        post = _Post(offset, size, row.get("Title"), date, text, notes if date else (*notes, BAD_DATE))
        if kind == _QUESTION:
            key = (int(number), 0, 0, 0, offset)
        else:
            key = (int(parent), 1, -int(score), int(number), offset)
        spill.add(key, tuple(post), len(text))
        return None

    def _question(self, site: str, number: int, entries: Iterator[Entry]) -> Iterator[Record]:
        """Yield the records of a question and its answers, which come in the order of the document."""
        first, values = next(entries)
        question = _Post(*values)
        if first[1] != 0:
            for post in [question, *(_Post(*values) for _, values in entries)]:
                yield Record(post.offset, post.raw_bytes, Skipped("question_missing"))
            return
        repeated: list[Record] = []
        frame = Text("", question.title, f"https://{site}/q/{number}" if site else None, question.date)
        yield from self._join(_pieces(question, entries, repeated), frame, f"{site} {number}".strip())
        yield from repeated


def _pieces(question: _Post, answers: Iterator[Entry], repeated: list[Record]) -> Iterator[Piece]:
    """Yield the pieces of a document; rows whose id came before go to `repeated`."""
    heading = f"Q: {question.title}" if question.title else "Q:"
    yield Piece(question.offset, question.raw_bytes, f"{heading}\n\n{question.text}", question.notes)
    seen: set[int] = set()
    for (_, kind, _, number, _), values in answers:
        post = _Post(*values)
        if kind == 0 or number in seen:
            repeated.append(Record(post.offset, post.raw_bytes, Skipped("repeated_id")))
            continue
        seen.add(number)
        yield Piece(post.offset, post.raw_bytes, f"A:\n\n{post.text}", post.notes)


def _site(option: str | None, url: str) -> str:
    """Return the host of the site, empty where it is unknown."""
    folder = url.rstrip("/").split("/")[-2:-1]
    return option or next((name for name in folder if _HOST.fullmatch(name)), "")


def _parse(row: bytes) -> tuple[dict[str, str], tuple[str, ...]] | Quarantined:
    """Return the attributes of a row and notes; characters that XML forbids are left out and noted."""
    try:
        text = row.decode("utf-8")
    except UnicodeDecodeError as error:
        return Quarantined("bad_encoding", str(error))
    if not row.endswith(b"/>"):
        text += "</row>"
    try:
        return ElementTree.fromstring(text).attrib, ()
    except ElementTree.ParseError as error:
        problem = error
    try:
        return ElementTree.fromstring(_legal_xml(text)).attrib, ("illegal_characters",)
    except ElementTree.ParseError:
        return Quarantined("bad_xml", str(problem))


def _legal_xml(text: str) -> str:
    return _CHARACTER_REFERENCE.sub(_legal_reference, _NOT_IN_XML.sub("", text))


def _legal_reference(match: re.Match[str]) -> str:
    number = int(match[1], 16) if match[1] else int(match[2])
    return match[0] if number <= 0x10FFFF and not _NOT_IN_XML.match(chr(number)) else ""
