"""mbox files: one record a message; one document a thread, or a message where `threads` is off.

In: .mbox, plain or compressed. Messages begin at a line `From ADDRESS DATE`; a line `>From ` in a body loses one `>`
(mboxrd; mboxo files read the same). Out: the text of a thread's messages by their dates, an empty line between them;
title: the subject without `Re:`; of the headers, nothing is in the text. Native key: Message-ID, of a thread that of
its first message.

Texts wait for their thread on the local disk (`spill.py`); held are `spill_bytes`, one document, and what
`threads.py` says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from typing import IO, NamedTuple

from pydantic import Field

from pipelines.sources.dates import BAD_DATE, iso_date
from pipelines.sources.decompression import decompressed
from pipelines.sources.joining import JoiningReader, Piece
from pipelines.sources.mail.mime import read_mail
from pipelines.sources.mail.threads import NO_TIME, ThreadIndex, without_reply_marks
from pipelines.sources.reader import TOO_LARGE, ReaderOptions, damaged
from pipelines.sources.record import Quarantined, Record, Skipped, Text
from pipelines.sources.scanner import Scanner
from pipelines.sources.spill import BUFFER_BYTES, Entry, SortedSpill

_FROM = b"From "
_NEXT_FROM = b"\nFrom "
# The date tells a separator from a sentence: mbox writers quote "From " in bodies, but not all of them do.
_SEPARATOR = rb"From [^\n]{1,300}? \d\d?:\d\d[^\n]{0,60}(?<!\d)(?:19|20)\d\d[^\n]{0,40}\n"
_SEPARATOR_HERE = re.compile(_SEPARATOR)
_NEXT_SEPARATOR = re.compile(b"\n" + _SEPARATOR)
_SEPARATOR_WIDTH = 450
_QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)


class MboxOptions(ReaderOptions):
    """Options of mbox files.

    Attributes:
        threads: whether the messages of a thread are one document; else each is one.
        remove_quotes: whether quoted text is cut; by default where threads are joined, as the thread has it already.
        spill_bytes: text that is held in memory before it goes to temporary files.
    """

    threads: bool = True
    remove_quotes: bool | None = None
    spill_bytes: int = Field(BUFFER_BYTES, ge=1)


class _Message(NamedTuple):
    offset: int
    raw_bytes: int
    message_id: str
    subject: str
    date: str | None
    text: str
    notes: tuple[str, ...]

    @property
    def frame(self) -> Text:
        return Text("", title=without_reply_marks(self.subject), date=self.date)

    @property
    def piece(self) -> Piece:
        return Piece(self.offset, self.raw_bytes, self.text, self.notes)

    @property
    def time(self) -> int:
        """Seconds since 1970."""
        try:
            moment = datetime.fromisoformat(self.date or "")
        except ValueError:  # no date, or only a year or month
            return NO_TIME
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


class MboxReader(JoiningReader):
    """Reads the messages of mailboxes; those without text of their own are skipped."""

    Options = MboxOptions

    def _records(self, file: IO[bytes], _url: str) -> Iterator[Record]:
        scanner = Scanner(decompressed(file))
        if not self.options.threads:
            for message, _ in self._messages(scanner):
                if isinstance(message, Record):
                    yield message
                else:
                    yield from self._join([message.piece], message.frame, message.message_id)
            return
        with SortedSpill(self.options.spill_bytes) as in_file, SortedSpill(self.options.spill_bytes) as by_thread:
            index = ThreadIndex()
            for message, references in self._messages(scanner):
                if isinstance(message, Record):
                    yield message
                    continue
                in_file.add((len(index),), tuple(message), len(message.text))
                index.add(message.message_id, references, message.subject, message.time)
            threads = index.threads()
            for (number,), values in in_file.drain():
                message = _Message(*values)
                key = (int(threads[number]), message.time, message.message_id, message.offset)
                by_thread.add(key, values, len(message.text))
            for _, entries in groupby(by_thread.drain(), key=lambda entry: entry[0][0]):
                yield from self._thread(entries)

    def _thread(self, entries: Iterator[Entry]) -> Iterator[Record]:
        """Yield the records of a thread, whose messages come in the order of the document."""
        messages = (_Message(*values) for _, values in entries)
        first = next(messages)
        repeated: list[Record] = []
        yield from self._join(_pieces(first, messages, repeated), first.frame, first.message_id)
        yield from repeated

    def _messages(self, scanner: Scanner) -> Iterator[tuple[_Message | Record, tuple[str, ...]]]:
        """Yield every message with the ids that it names, or the record of one that gives no text."""
        while not scanner.at_end():
            offset = scanner.offset
            garbage = scanner.skip_to(_SEPARATOR_HERE, _SEPARATOR_WIDTH)
            if garbage:
                yield Record(offset, garbage, Quarantined("not_mbox", f"{garbage} bytes before a `From ` line")), ()
            elif damage := scanner.take_damage():
                yield damaged(offset, 0, damage), ()
            else:
                yield self._next(scanner)

    def _next(self, scanner: Scanner) -> tuple[_Message | Record, tuple[str, ...]]:
        """Read the message that begins at the cursor."""
        offset, limit = scanner.offset, self.options.max_record_bytes
        data = _read_message(scanner, limit)
        if len(data) > limit:
            passed = len(data) + scanner.skip_to(_NEXT_SEPARATOR, _SEPARATOR_WIDTH) + scanner.skip(1)
            return Record(offset, passed, Skipped(TOO_LARGE)), ()
        if damage := scanner.take_damage():
            return damaged(offset, len(data), damage), ()
        _, _, content = data.partition(b"\n")
        options = self.options
        quotes = options.threads if options.remove_quotes is None else options.remove_quotes
        mail = read_mail(_QUOTED_FROM.sub(rb"\1", content), quotes)
        if isinstance(mail, Skipped | Quarantined):
            return Record(offset, len(data), mail), ()
        date = iso_date(mail.date)
        notes = () if date else (BAD_DATE,)
        return _Message(offset, len(data), mail.message_id, mail.subject, date, mail.text, notes), mail.references


def _read_message(scanner: Scanner, limit: int) -> bytes:
    """Read up to the line feed before the next separator; to damage, the end or beyond `limit` where that is first."""
    data = bytearray(scanner.read(len(_FROM)))
    while len(data) <= limit:
        data += scanner.read_until(_NEXT_FROM, limit + 1 - len(data))
        if not data.endswith(_NEXT_FROM):
            break
        if _SEPARATOR_HERE.match(_FROM + scanner.peek(_SEPARATOR_WIDTH)):
            scanner.push_back(_FROM)
            del data[-len(_FROM) :]
            break
    return bytes(data)


def _pieces(first: _Message, others: Iterator[_Message], repeated: list[Record]) -> Iterator[Piece]:
    """Yield the pieces of a thread; messages whose id came before go to `repeated`."""
    yield first.piece
    seen = {first.message_id}
    for message in others:
        if message.message_id and message.message_id in seen:
            repeated.append(Record(message.offset, message.raw_bytes, Skipped("repeated_id")))
            continue
        seen.add(message.message_id)
        yield message.piece
