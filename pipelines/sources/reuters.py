"""Reuters-21578: newswire stories in SGML, one record a `<REUTERS>` element.

In: .sgm, plain or compressed, Latin-1 with control characters as entities. Out: one text a story, its hard-wrapped
lines joined; no native key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from html import unescape
from typing import IO

from pipelines.sources.decompression import decompressed
from pipelines.sources.reader import TOO_LARGE, Reader, damaged
from pipelines.sources.record import Quarantined, Record, Skipped, Text
from pipelines.sources.scanner import Scanner, skip_blanks

_STORY, _STORY_END, _DOCTYPE = b"<REUTERS", b"</REUTERS>", b"<!DOCTYPE"
_STORY_PATTERN = re.compile(_STORY)
_DATE = re.compile(r"\d{1,2}-[A-Z]{3}-\d{4} \d{2}:\d{2}:\d{2}")
# The wire's sign-off: "Reuter" alone on the last line, then an end-of-text character.
_SIGN_OFF = re.compile(r"\n[ \t]*reuters?[.;]?\s*$", re.IGNORECASE)
_INDENTED = re.compile(r"\n(?=[ \t]{2,})")
_COLUMNS = re.compile(r"\S {3,}\S")


class ReutersReader(Reader):
    """Reads newswire stories; those without a body (headlines only) are skipped as `no_text`."""

    def _records(self, file: IO[bytes], _url: str) -> Iterator[Record]:
        scanner = Scanner(decompressed(file))
        while not scanner.at_end():
            skip_blanks(scanner)
            offset, following = scanner.offset, scanner.peek(len(_DOCTYPE))
            if following.startswith(_STORY):
                yield self._next(scanner)
            elif following.startswith(_DOCTYPE):
                scanner.skip_past(b">")
            elif damage := scanner.take_damage():
                yield damaged(offset, 0, damage)
            elif following:
                passed = scanner.skip(1) + scanner.skip_to(_STORY_PATTERN, len(_STORY))
                yield Record(offset, passed, Quarantined("not_a_story", f"{passed} bytes that belong to no story"))

    def _next(self, scanner: Scanner) -> Record:
        """Read the story that begins at the cursor."""
        offset, limit = scanner.offset, self.options.max_record_bytes
        story = scanner.read_until(_STORY_END, limit + 1)
        following = story.find(_STORY, len(_STORY))
        if following > 0:
            scanner.push_back(story[following:])
            return Record(offset, following, Quarantined("truncated_story", "no </REUTERS> before the next story"))
        if story.endswith(_STORY_END):
            return self._story(offset, story)
        if len(story) > limit:
            return Record(offset, len(story) + scanner.skip_past(_STORY_END), Skipped(TOO_LARGE))
        if damage := scanner.take_damage():
            return damaged(offset, len(story), damage)
        return Record(
            offset, len(story), Quarantined("truncated_story", "the file ends inside the story", rest_is_lost=True)
        )

    def _story(self, offset: int, story: bytes) -> Record:
        sgml = story.decode("latin-1")
        if "<TEXT" not in sgml:
            return Record(offset, len(story), Quarantined("bad_fields", "the story has no <TEXT>"))
        body = _element(sgml, "BODY") or ""
        text = Text(_join_lines(body), title=_element(sgml, "TITLE"), date=_date(_element(sgml, "DATE")))
        return self._record(offset, len(story), [text])


def _element(sgml: str, name: str) -> str | None:
    """Return the content of the first element of a name, its entities resolved."""
    match = re.search(f"<{name}>(.*?)</{name}>", sgml, re.DOTALL)
    return unescape(re.sub(r"&#\d{1,2};", "", match[1])) if match else None


def _date(text: str | None) -> str | None:
    match = _DATE.search(text or "")
    if not match:
        return None
    try:
        return datetime.strptime(match[0].title(), "%d-%b-%Y %H:%M:%S").isoformat()
    except ValueError:
        return None


def _join_lines(body: str) -> str:
    """Join the wrapped lines of paragraphs, each of which begins with an indented line; leave tables as they are."""
    body = _SIGN_OFF.sub("", body.rstrip())
    paragraphs = _INDENTED.split(body)
    return "\n".join(
        paragraph if _COLUMNS.search(paragraph.strip()) else " ".join(paragraph.split()) for paragraph in paragraphs
    )
