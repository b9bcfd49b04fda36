"""A mail's bytes into its headers and the text of its parts.

In: a message without its mbox separator. Out: `Mail`, its text made of all parts that are shown as text: of
alternatives the plain one where it says anything, else HTML as text; attachments and pictures have none. Charset as
the part declares it where its bytes agree, else UTF-8 where they are that, else detection.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.errors import HeaderParseError, InvalidBase64LengthDefect
from email.header import decode_header
from email.message import Message
from typing import Any, NamedTuple

from pipelines.charset import decode_html
from pipelines.html import NestedTooDeep, extract_fragment
from pipelines.sources.mail.body import clean_body
from pipelines.sources.reader import NO_TEXT
from pipelines.sources.record import Quarantined, Skipped

_MAX_DEPTH = 30
_ASCII_LABELS = frozenset({"us-ascii", "ascii", "iso-8859-1", "latin1", "windows-1252", "cp1252"})
"""What mail programs declare for whatever they send; bytes that are UTF-8 by the rules of UTF-8 are no accident."""
_ORDER = {"text/plain": 0, "text/html": 1}
_NOT_TEXT = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\ufffd]")
_REPLACEMENT = "\ufffd"
_MESSAGE_ID = re.compile(r"<([^<>\s]+)>")
_SENDER = re.compile(r"\bfrom\b[^<>]*<[^<>]*>", re.IGNORECASE)
_MAX_REFERENCES = 50
_MAX_HEADER_CHARACTERS = 10_000


class Mail(NamedTuple):
    """What is kept of a message.

    Attributes:
        message_id: without brackets; empty where it has none.
        references: ids of the messages that it answers.
        subject, date: headers as they are written, encoded words decoded; empty where there is none.
        text: what was written, not normalized; may be empty.
    """

    message_id: str
    references: tuple[str, ...]
    subject: str
    date: str
    text: str


def read_mail(data: bytes, remove_quotes: bool) -> Mail | Skipped | Quarantined:
    """Read a message; return why there is no text where there is none."""
    try:
        message = message_from_bytes(data)
        if not message.keys():
            return Quarantined("no_headers", "the message does not begin with a header")
        parts = list(_parts(message, remove_quotes, 0))
    except (NestedTooDeep, RecursionError) as error:
        return Quarantined("nested_too_deep", str(error))
    except ValueError as error:  # also of Python's parser, on a charset's name with a zero byte in it
        return Quarantined("bad_mime", str(error))
    text = "\n\n".join(part for part in parts if part.strip())
    if not text:
        return Skipped("attachments_only" if _has_attachment(message) else NO_TEXT)
    if len(_NOT_TEXT.findall(text)) * 10 > len(text):
        return Quarantined("binary_text", "more than a tenth of the text is control or replacement characters")
    return Mail(
        _message_id(message),
        _references(message),
        _header(message, "subject"),
        _header(message, "date"),
        text,
    )


class _Unreadable(ValueError):
    """A part's encoding is broken."""


def _parts(part: Message, remove_quotes: bool, depth: int) -> Iterator[str]:
    """Yield the texts of a part and the parts in it."""
    if depth > _MAX_DEPTH:
        raise NestedTooDeep(f"parts nest deeper than {_MAX_DEPTH}")
    kind = part.get_content_type()
    if part.get_content_disposition() == "attachment":
        return
    inner: Any = part.get_payload() if part.is_multipart() else None
    if inner is not None:
        yield from _inner_parts(kind, inner, remove_quotes, depth + 1)
    elif part.get_content_maintype() == "multipart":
        raise _Unreadable(f"a part is {kind} but has no part in it")
    elif kind == "text/plain":
        yield clean_body(_decoded(part), remove_quotes)
    elif kind == "text/html":
        yield clean_body(extract_fragment(_decoded(part)), remove_quotes)


def _inner_parts(kind: str, inner: list[Message], remove_quotes: bool, depth: int) -> Iterator[str]:
    if kind != "multipart/alternative":
        for part in inner:
            yield from _parts(part, remove_quotes, depth)
        return
    for part in sorted(inner, key=lambda part: _ORDER.get(part.get_content_type(), 2)):
        texts = list(_parts(part, remove_quotes, depth))
        if any(text.strip() for text in texts):
            yield from texts
            return


def _decoded(part: Message) -> str:
    """Return the text of a part; its type is lost thereby."""
    charset = part.get_content_charset()
    # `get_payload` would first decode with whatever codec the header names, and fail as that codec pleases.
    del part["content-type"]
    data = part.get_payload(decode=True)
    if any(isinstance(defect, InvalidBase64LengthDefect) for defect in part.defects):
        raise _Unreadable("a part in base64 is cut or damaged")
    assert isinstance(data, bytes)
    return decode(data, charset)


def _has_attachment(message: Message) -> bool:
    return any(
        not part.is_multipart()
        and (part.get_content_maintype() != "text" or part.get_content_disposition() == "attachment")
        for part in message.walk()
    )


def decode(data: bytes, charset: str | None) -> str:
    """Decode text whose charset is declared (or not) as mail programs do it: often wrongly."""
    if (charset or "").lower() in _ASCII_LABELS and not data.isascii():
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            pass
    text = decode_html(data, charset)
    broken = text.count(_REPLACEMENT)
    if broken and broken * 2 >= sum(not character.isascii() for character in text):
        try:
            return data.decode("cp1252")
        except UnicodeDecodeError:
            pass
    return text


def _header(message: Message, name: str) -> str:
    """Return a header's text, encoded words and bare bytes decoded; empty where there is none."""
    raw = next((str(value) for key, value in message.raw_items() if key.lower() == name), "")
    text = decode(raw[:_MAX_HEADER_CHARACTERS].encode("utf-8", "surrogateescape"), None)
    try:
        chunks = decode_header(text)
    except HeaderParseError:
        return text
    return "".join(_chunk(chunk, charset) for chunk, charset in chunks)


def _chunk(chunk: str | bytes, charset: str | None) -> str:
    if isinstance(chunk, str):
        return chunk
    return decode(chunk, charset) if charset else chunk.decode("raw-unicode-escape")


def _message_id(message: Message) -> str:
    header = _header(message, "message-id")
    found = _MESSAGE_ID.search(header)
    return found[1] if found else " ".join(header.split()).strip("<>")


def _references(message: Message) -> tuple[str, ...]:
    """Return the ids that a message names: all of References, else the last of In-Reply-To, which may name people."""
    if found := _MESSAGE_ID.findall(_header(message, "references")):
        return tuple(found[-_MAX_REFERENCES:])
    return tuple(_MESSAGE_ID.findall(_SENDER.sub("", _header(message, "in-reply-to")))[-1:])
