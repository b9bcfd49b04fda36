"""Readers that join several records into one document: a question and its answers, the messages of a thread.

Each record stays a record: the document is in the outcome of the first, the others are `JOINED`. A document takes at
most `max_record_bytes` of records; what is beyond becomes its next part, so that nothing is lost and one endless
thread cannot fill the memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from pipelines.sources.reader import Reader
from pipelines.sources.record import JOINED, Record, Text, Used


@dataclass(frozen=True, slots=True)
class Piece:
    """A record and the text that it gives to a document.

    Attributes:
        offset, raw_bytes: of the record.
        text: not empty.
        notes: as in `Used`.
    """

    offset: int
    raw_bytes: int
    text: str
    notes: tuple[str, ...] = ()


class JoiningReader(Reader):
    """A reader whose documents have the texts of several records."""

    def _join(self, pieces: Iterable[Piece], frame: Text, native_key: str) -> Iterator[Record]:
        """Yield the records of one document.

        Args:
            pieces: in the order of the document.
            frame: title, URL and date of the document.
            native_key: of the document.
        """
        part, size, waiting = 0, 0, list[Piece]()
        for piece in pieces:
            if waiting and size + piece.raw_bytes > self.options.max_record_bytes:
                part += 1
                yield from self._document(waiting, replace(frame, part=part), native_key)
                size, waiting = 0, []
            waiting.append(piece)
            size += piece.raw_bytes
        if waiting:
            yield from self._document(waiting, replace(frame, part=part + 1 if part else 0), native_key)

    def _document(self, pieces: list[Piece], frame: Text, native_key: str) -> Iterator[Record]:
        first, *others = pieces
        text = replace(frame, text="\n\n".join(piece.text for piece in pieces))
        record = self._record(first.offset, first.raw_bytes, [text], native_key, first.notes)
        if not isinstance(record.outcome, Used):
            yield from (replace(record, offset=piece.offset, raw_bytes=piece.raw_bytes) for piece in pieces)
            return
        joined_bytes = sum(piece.raw_bytes for piece in others)
        yield replace(record, outcome=replace(record.outcome, joined_bytes=joined_bytes))
        for piece in others:
            outcome = replace(JOINED, notes=JOINED.notes + piece.notes) if piece.notes else JOINED
            yield Record(piece.offset, piece.raw_bytes, outcome, native_key)
