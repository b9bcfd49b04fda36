"""What a reader yields: one `Record` for every record of a file, with exactly one outcome.

So records read = used + skipped (by reason) + quarantined, and the same holds for raw bytes. A record whose text went
into the document of another (an answer into that of its question, a reply into its thread) is used too, as `JOINED`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """One text of a record, normalized (`pipelines.text`) and never empty.

    Attributes:
        text: the text.
        title, url: where the record has them.
        date: ISO 8601.
        part: 0, or the number (from 1) of the part of its record, e.g. a chapter.
    """

    text: str
    title: str | None = None
    url: str | None = None
    date: str | None = None
    part: int = 0


@dataclass(frozen=True, slots=True)
class Used:
    """The record gives one or several documents, or its text is in the document of another record.

    Attributes:
        texts: at least one, or none where the record is joined to another.
        notes: what was done to the record that a summary may count, e.g. `fallback_encoding`.
        joined_bytes: size of the other records whose text is in these texts; a document's raw bytes are those of all
            its records.
    """

    texts: tuple[Text, ...]
    notes: tuple[str, ...] = ()
    joined_bytes: int = 0


JOINED = Used((), ("joined",))
"""The record's text is in the document of another record, whose `joined_bytes` count this one's."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """The record is sound but gives no document, by its nature: a redirect, a request, a page without text."""

    reason: str


@dataclass(frozen=True, slots=True)
class Quarantined:
    """The record is damaged or cannot be read.

    Attributes:
        reason: a short name.
        detail: for people.
        rest_is_lost: nothing of the file behind it could be read, so nobody knows how many records that were.
        records: so many it stands for, where that is known.
    """

    reason: str
    detail: str
    rest_is_lost: bool = False
    records: int = 1


Outcome = Used | Skipped | Quarantined


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a file.

    Attributes:
        offset: its first byte, counted in the decompressed file; of a record that begins a compressed member (a gzip
            member, a member of a zip archive), the member's first byte in the file itself, as in CDX indexes.
        raw_bytes: its size in bytes, decompressed.
        outcome: what became of it.
        native_key: its name in its own format (docs/formats.md, "Ids"), or empty.
    """

    offset: int
    raw_bytes: int
    outcome: Outcome
    native_key: str = ""
