"""NPS Chat: sessions of age-specific chat rooms in XML, names masked (Forsyth and Martell 2007); one record a session.

In: `<Session><Posts><Post class="…" user="10-19-20sUser7">text<terminals>…`, plain, compressed or in a zip archive.
Out: one text a session (`turns.py`). Masked names lose the session's name that is put before each, `10-19-20sUser7`
is `User7`, as a speaker and within a text. Posts of class System (who came and went, commands to bots) are dropped and
noted as `system_line`, but for what participants do (`.ACTION waves`). Native key: the session's name, which is its
file's name in an archive.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO

from pipelines.sources.archive import contents, other_members
from pipelines.sources.dialogues.turns import acted, spoken
from pipelines.sources.reader import Reader, ReaderOptions, read_whole
from pipelines.sources.record import Quarantined, Record, Text

SYSTEM_LINE = "system_line"
_MASKED_NAME = re.compile(r"\b\d+-\d+-(?:\d+s|adults|teens)(?=User\d)")
_ACTION = ".ACTION "


class NpsChatOptions(ReaderOptions):
    """Options of NPS Chat.

    Attributes:
        members: of a zip archive, the names that are read (a shell pattern); the others are skipped as `other_member`.
    """

    members: str = "*.xml"


class NpsChatReader(Reader):
    """Reads sessions; one that is not well-formed XML is quarantined."""

    Options = NpsChatOptions

    def _records(self, file: IO[bytes], _url: str) -> Iterator[Record]:
        yield from other_members(file, self.options.members)
        for content in contents(file, self.options.members):
            data = read_whole(content.scanner, self.options.max_record_bytes)
            if isinstance(data, Record):
                yield Record(content.base + data.offset, data.raw_bytes, data.outcome)
            else:
                yield self._session(content.base, data, PurePosixPath(content.name).stem)

    def _session(self, offset: int, data: bytes, name: str) -> Record:
        try:
            posts = list(ElementTree.fromstring(data).iter("Post"))
        except (ElementTree.ParseError, ValueError, LookupError) as error:
            return Record(offset, len(data), Quarantined("bad_xml", str(error)), name)
        if not posts:
            return Record(offset, len(data), Quarantined("bad_fields", "the session has no <Post>"), name)
        lines = [_line(post) for post in posts]
        notes = (SYSTEM_LINE,) * lines.count(None)
        text = Text("\n".join(line for line in lines if line))
        return self._record(offset, len(data), [text], native_key=name, notes=notes)


def _line(post: ElementTree.Element) -> str | None:
    """Return the line of a post, empty where it says nothing, or None for one of the system's."""
    speaker, text = (_MASKED_NAME.sub("", part) for part in (post.get("user", ""), post.text or ""))
    if text.startswith(_ACTION):
        return acted(speaker, text.removeprefix(_ACTION))
    return None if post.get("class") == "System" else spoken(speaker, text)
