"""IRC: raw logs of a channel, cut into conversations; one record a conversation.

In: text files, plain, compressed or in a zip archive, of lines

    [07:35] <nick> text           a message
    [07:35]  * nick waves         an action
    === nick has joined #channel  the system's
    [07:35] -nick:#channel- text  a notice, as all other lines counted to the system's

Out: one text a conversation (`turns.py`), with the date that an archive gives in a member's name; no native key. A
conversation ends before a silence of `silence_minutes`, after about `document_bytes` of the log, and with the file.
Clocks tell neither day nor, in some logs, morning from evening, so the time between two messages is taken modulo 12
hours, and a small step back (clocks are set) is no silence. The system's lines and those of bots are dropped, and
noted as `system_line` and `bot_line` as often; a line that is not UTF-8 is read as cp1252 and noted as
`fallback_encoding`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import IO

from pydantic import Field

from pipelines.sources.archive import contents, other_members
from pipelines.sources.dialogues.turns import acted, spoken
from pipelines.sources.reader import FALLBACK_ENCODING, TOO_LARGE, Reader, ReaderOptions, damaged
from pipelines.sources.record import Quarantined, Record, Skipped, Text
from pipelines.sources.scanner import Scanner

_LINE = re.compile(
    r"\[(?P<hour>\d\d):(?P<minute>\d\d)(?::\d\d)?\] +"
    r"(?:<[ @+]?(?P<speaker>[^>]+)>|\* (?P<actor>\S+))(?P<text>(?: .*)?)"
)
_SYSTEM = re.compile(r"===|\[\d\d:\d\d(?::\d\d)?\] ")
_COLORS = re.compile(r"\x03(?:\d{1,2}(?:,\d{1,2})?)?")
_DATE = re.compile(r"(?<!\d)\d{4}-\d\d-\d\d(?!\d)")
_HALF_DAY = 12 * 60


class IrcOptions(ReaderOptions):
    """Options of IRC logs.

    Attributes:
        silence_minutes: a conversation ends before a silence of at least so many minutes.
        document_bytes: a conversation of about so many bytes of the log is ended, so that none grows without bound.
        bots: names of bots (shell patterns), whose lines are dropped.
        members: of a zip archive, the names that are read (a shell pattern); the others are skipped as `other_member`.
    """

    silence_minutes: int = Field(30, ge=1, le=_HALF_DAY // 2)
    document_bytes: int = Field(32_768, ge=1)
    bots: tuple[str, ...] = ("ubot[tu0-9]*", "FloodBot[0-9]*")
    members: str = "*.txt"


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a log: what it says (empty where it is dropped), its minute of the day, and notes on it."""

    text: str = ""
    minute: int | None = None
    notes: tuple[str, ...] = ()
    of_format: bool = True


@dataclass
class _Conversation:
    """The lines of a log since the last cut."""

    offset: int
    raw_bytes: int = 0
    lines: list[_Line] = field(default_factory=list)
    minute: int | None = None

    def add(self, line: _Line, raw_bytes: int) -> None:
        self.raw_bytes += raw_bytes
        self.lines.append(line)
        self.minute = self.minute if line.minute is None else line.minute

    def silent_before(self, line: _Line, silence: int) -> bool:
        if self.minute is None or line.minute is None:
            return False
        return silence <= (line.minute - self.minute) % _HALF_DAY <= _HALF_DAY - silence


class IrcReader(Reader):
    """Reads conversations; a stretch of a file without a line of the format is quarantined."""

    Options = IrcOptions

    def _records(self, file: IO[bytes], _url: str) -> Iterator[Record]:
        yield from other_members(file, self.options.members)
        for content in contents(file, self.options.members, as_text=True):
            date = _DATE.search(content.name)
            for record in self._log(content.scanner, date[0] if date else None):
                yield replace(record, offset=content.base + record.offset)

    def _log(self, scanner: Scanner, date: str | None) -> Iterator[Record]:
        options = self.options
        conversation = _Conversation(scanner.offset)
        while not scanner.at_end():
            offset = scanner.offset
            data = scanner.read_line(options.max_record_bytes + 1)
            if problem := self._problem(scanner, offset, data):
                yield from self._ended(conversation, date)
                yield problem
                conversation = _Conversation(scanner.offset)
                continue
            line = self._line(data)
            full = conversation.raw_bytes >= options.document_bytes
            if full or conversation.silent_before(line, options.silence_minutes):
                yield from self._ended(conversation, date)
                conversation = _Conversation(offset)
            conversation.add(line, len(data))
        yield from self._ended(conversation, date)

    def _problem(self, scanner: Scanner, offset: int, data: bytes) -> Record | None:
        """Return the record that a line is which is too long or cut by damage."""
        if data.endswith(b"\n"):
            return None
        if len(data) > self.options.max_record_bytes:
            return Record(offset, len(data) + scanner.skip_past(b"\n"), Skipped(TOO_LARGE))
        damage = scanner.take_damage()
        return damaged(offset, len(data), damage) if damage else None

    def _line(self, data: bytes) -> _Line:
        notes: tuple[str, ...] = ()
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            notes = (FALLBACK_ENCODING,)
            text = data.decode("cp1252", errors="replace")
        text = _COLORS.sub("", text.rstrip("\r\n"))
        match = _LINE.fullmatch(text)
        if not match:
            return _Line(notes=("system_line",) * bool(text), of_format=not text or bool(_SYSTEM.match(text)))
        minute = int(match["hour"]) * 60 + int(match["minute"])
        speaker = match["speaker"] or match["actor"]
        if any(fnmatchcase(speaker, bot) for bot in self.options.bots):
            return _Line(minute=minute, notes=("bot_line",))
        written = spoken(speaker, match["text"]) if match["speaker"] else acted(speaker, match["text"])
        return _Line(written, minute, notes)

    def _ended(self, conversation: _Conversation, date: str | None) -> Iterator[Record]:
        """Yield the record of a conversation, unless nothing is in it."""
        offset, size, lines = conversation.offset, conversation.raw_bytes, conversation.lines
        if not any(line.of_format for line in lines):
            if size:
                yield Record(offset, size, Quarantined("bad_fields", "no line is `[hh:mm] <nick> text`"))
            return
        notes = tuple(note for line in lines for note in line.notes)
        text = Text("\n".join(line.text for line in lines if line.text), date=date)
        yield self._record(offset, size, [text], notes=notes)
