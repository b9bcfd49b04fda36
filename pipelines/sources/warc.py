"""WARC files: crawled pages (`response` records) and their extracted text in WET files (`conversion` records).

In: .warc, .warc.gz, .warc.zst, one member a record or all in one. Framing (versions 0.17 to 1.1) is read here, so
that a damaged record costs no other; HTTP is parsed by FastWARC. Native key: target URI, space, WARC-Date
(docs/formats.md, "Ids").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Literal

from pipelines.sources.decompression import decompressed
from pipelines.sources.page import PageOptions, read_page
from pipelines.sources.reader import TOO_LARGE, Reader, damaged
from pipelines.sources.record import Outcome, Quarantined, Record, Skipped, Text
from pipelines.sources.scanner import Scanner

_VERSION = re.compile(rb"WARC/[01]\.[0-9]{1,2}\r?\n")
_VERSION_WIDTH = len(b"WARC/1.10\r\n")
_SWALLOWED = re.compile(rb"\r?\n\r?\n(WARC/[01]\.[0-9]{1,2}\r?\n)")
_SWALLOWED_WIDTH = len(b"\r\n\r\n") + _VERSION_WIDTH
_NEXT = re.compile(rb"[\r\n]*(?:WARC/|\Z)")
_NEXT_WIDTH = 1 << 6
_LENGTH = re.compile("[0-9]{1,18}")
_MAX_HEADER_BYTES = 1 << 16
_HTML_TYPES = ("text/html", "application/xhtml+xml")


@dataclass(frozen=True, slots=True)
class _Header:
    raw: bytes
    fields: dict[str, str]

    def get(self, name: str) -> str:
        return self.fields.get(name, "")

    @property
    def native_key(self) -> str:
        uri = self.url
        return f"{uri} {self.get('warc-date')}".rstrip() if uri else ""

    @property
    def url(self) -> str:
        return self.get("warc-target-uri").strip("<>")


class WarcReader(Reader):
    """Reads the pages of a crawl; every record is counted, whatever its type."""

    Options = PageOptions

    def _records(self, file: IO[bytes], _url: str) -> Iterator[Record]:
        scanner = Scanner(decompressed(file))
        while True:
            while scanner.peek(1) in (b"\r", b"\n"):
                scanner.skip(1)
            if scanner.at_end():
                return
            offset = scanner.offset
            garbage = scanner.skip_to(_VERSION, _VERSION_WIDTH)
            if garbage:
                yield Record(offset, garbage, Quarantined("not_warc", f"{garbage} bytes that belong to no record"))
            elif damage := scanner.take_damage():
                yield damaged(offset, 0, damage)
            else:
                yield self._next(scanner, offset)

    def _next(self, scanner: Scanner, offset: int) -> Record:
        """Read the record that begins at the cursor."""
        header = _read_header(scanner)
        size = header.get("content-length")
        if damage := None if header.raw.endswith(b"\n") else scanner.take_damage():
            return damaged(offset, len(header.raw), damage)
        if not _LENGTH.fullmatch(size) or not header.get("warc-type"):
            detail = f"WARC-Type {header.get('warc-type')!r}, Content-Length {size!r:.40}"
            return Record(offset, len(header.raw), Quarantined("bad_warc_header", detail))
        kind = header.get("warc-type").lower()
        wanted = kind in ("response", "conversion")
        if int(size) > self.options.max_record_bytes:
            passed = scanner.skip_to(_SWALLOWED, _SWALLOWED_WIDTH, int(size))
            problem = self._problem_after(scanner, offset, header, passed, int(size))
            reason = TOO_LARGE if wanted else f"warc_{kind}"
            return problem or Record(offset, len(header.raw) + passed, Skipped(reason), header.native_key)
        body = scanner.read(int(size))
        if problem := self._problem_after(scanner, offset, header, len(body), int(size), body):
            return problem
        if not wanted:
            return Record(offset, len(header.raw) + len(body), Skipped(f"warc_{kind}"), header.native_key)
        return self._used(offset, header, body)

    def _problem_after(
        self, scanner: Scanner, offset: int, header: _Header, got: int, size: int, body: bytes = b""
    ) -> Record | None:
        """Return the quarantined record where the body is not followed by the line ends that close a record.

        A record that begins within the bytes of such a body is read next. Within a body that is too large to be held
        the first that begins is taken for one at once, since there is no way back.
        """
        raw_bytes = len(header.raw) + got
        following = scanner.peek(_NEXT_WIDTH)
        if got == size and not following and (damage := scanner.take_damage()):
            return damaged(offset, raw_bytes, damage)
        if got == size and _NEXT.match(following):
            return None
        detail = f"no record ends after the {size} bytes of Content-Length"
        if swallowed := _SWALLOWED.search(body):
            scanner.push_back(body[swallowed.start(1) :])
            raw_bytes -= len(body) - swallowed.start(1)
        elif got == size and following.startswith((b"\r\n\r\n", b"\n\n")):
            return None  # what follows is garbage
        elif not following and (damage := scanner.take_damage()):
            return damaged(offset, raw_bytes, damage)
        elif not following:
            detail = f"the file ends after {got} of {size} bytes of the body"
            return Record(
                offset, raw_bytes, Quarantined("truncated_record", detail, rest_is_lost=True), header.native_key
            )
        else:
            raw_bytes += scanner.skip_to(_VERSION, _VERSION_WIDTH)
        return Record(offset, raw_bytes, Quarantined("bad_content_length", detail), header.native_key)

    def _used(self, offset: int, header: _Header, body: bytes) -> Record:
        raw_bytes = len(header.raw) + len(body)
        if header.get("warc-type").lower() == "response":
            return Record(offset, raw_bytes, self._page(header, body), header.native_key)
        found = _conversion(header, body)
        if isinstance(found, Text):
            return self._record(offset, raw_bytes, [found], header.native_key)
        return Record(offset, raw_bytes, found, header.native_key)

    def _page(self, header: _Header, body: bytes) -> Outcome:
        """Extract the page of a response record."""
        if not header.get("content-type").lower().startswith("application/http"):
            return Skipped("not_http")
        try:
            response = _parse_http(body, auto_decode="none")
        except OSError as error:
            return Quarantined("bad_http", str(error))
        status = response.http_headers.status_code
        if status is None:
            return Quarantined("bad_http", "no HTTP status line at the start of the body")
        if not 200 <= status < 300:
            return Skipped("http_status")
        if (response.http_content_type or "").lower() not in _HTML_TYPES:
            return Skipped("not_html")
        try:
            payload = _payload(response, body, self.options.max_record_bytes)
            if len(payload) > self.options.max_record_bytes:
                return Skipped(TOO_LARGE)
        except OSError as error:
            return Quarantined("bad_http_encoding", str(error))
        date = header.get("warc-date") or None
        return read_page(payload, response.http_charset, self.options, header.url or None, date)


def _read_header(scanner: Scanner) -> _Header:
    """Read the version line, the fields and the empty line after them."""
    raw = scanner.read_line(_VERSION_WIDTH)
    fields: dict[str, str] = {}
    name = ""
    while len(raw) < _MAX_HEADER_BYTES:
        line = scanner.read_line(_MAX_HEADER_BYTES)
        raw += line
        content = line.decode("utf-8", errors="replace")
        if not content.strip() or not line.endswith(b"\n"):
            break
        if content[0] in " \t" and name:
            fields[name] = f"{fields[name]} {content.strip()}".strip()
            continue
        name, _, value = content.partition(":")
        name = name.strip().lower()
        fields[name] = value.strip()
    return _Header(raw, fields)


def _conversion(header: _Header, body: bytes) -> Text | Quarantined:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        return Quarantined("bad_encoding", str(error))
    return Text(text, url=header.url or None, date=header.get("warc-date") or None)


def _parse_http(body: bytes, auto_decode: Literal["none", "all"]) -> Any:
    """Parse the HTTP response in a record's body with FastWARC."""
    from fastwarc.warc import WarcRecord

    framing = (
        b"WARC/1.1\r\nWARC-Type: response\r\nContent-Type: application/http; msgtype=response\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    record = WarcRecord.from_bytes(framing + body + b"\r\n\r\n")
    record.parse_http(auto_decode=auto_decode)
    return record


def _payload(response: Any, body: bytes, limit: int) -> bytes:
    """Return the decoded payload of a parsed response, at most one byte more than `limit`.

    Many crawlers store the payload decoded but leave the headers as they were: what cannot be decoded and looks like
    a page is one.

    Raises:
        OSError: when the payload is encoded in an unknown way or its encoding is damaged.
    """
    headers = response.http_headers
    if not headers.get("content-encoding") and not headers.get("transfer-encoding"):
        payload: bytes = response.reader.read(limit + 1)
        return payload
    try:
        return _parse_http(body, auto_decode="all").reader.read(limit + 1)
    except OSError:
        payload = response.reader.read(limit + 1)
        if payload.lstrip()[:1] != b"<":
            raise
        return payload
