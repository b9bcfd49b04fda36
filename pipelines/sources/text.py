"""Plain text: one document a file, a line, a block between empty lines, or an entry between `%` lines (fortune files);
also the members of zip archives.

In: UTF-8 or, with a byte order mark, UTF-16, plain, compressed or in a zip archive; anything else is decoded by a
declared fallback encoding, or the one that is detected, and noted as `fallback_encoding`. Out: one text a record, or
several where `chapters` cuts it. There is no native key.
"""

from __future__ import annotations

import encodings
import re
from collections.abc import Iterator
from typing import IO, Annotated, Literal

from pydantic import AfterValidator, Field

from pipelines.sources.archive import contents, other_members
from pipelines.sources.decompression import Damage
from pipelines.sources.markup import cut_gutenberg_frame, join_wrapped_lines, strip_markdown
from pipelines.sources.parts import cut_at_headings
from pipelines.sources.reader import FALLBACK_ENCODING, TOO_LARGE, Reader, ReaderOptions, damaged
from pipelines.sources.record import Quarantined, Record, Skipped, Text
from pipelines.sources.scanner import Scanner

DETECT = "detect"
_COMMON_ENCODING = "cp1252"
_EMPTY_LINE = re.compile(rb"\n[ \t\r]{0,80}\n")
_EMPTY_LINE_WIDTH = 82


def _check_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression ({error})") from None
    return pattern


def _check_encoding(name: str) -> str:
    if name == DETECT:
        return name
    # Not codecs.lookup: an installed package may have hooked itself in there for every unknown name.
    codec = encodings.search_function(name.lower().replace("-", "_"))
    if codec is None or not codec._is_text_encoding:
        raise ValueError("not an encoding that Python knows")
    return name


class TextOptions(ReaderOptions):
    """Options of plain text.

    Attributes:
        split: what an entry is: the `file`, a `line` that is not blank, a `paragraph` (lines up to an empty one), or a
            `fortune` (entries between lines that begin with `%`).
        entries_per_document: so many consecutive entries of a file, joined by an empty line, are one record.
        members: of a zip archive, the names that are read (a shell pattern); the others are skipped as `other_member`.
        fallback_encoding: for an entry that is not UTF-8; `detect` looks at its bytes, and takes cp1252 where
            they fit no better.
        gutenberg: cut Project Gutenberg's header and licence, and join hard-wrapped lines.
        markdown: strip the signs of light Markdown.
        chapters: a regular expression of heading lines at which a record is cut into parts.
        part_characters: about how long parts are where `chapters` matches fewer than two lines; parts end at an empty
            line, or where there are none for long at the end of a line.
    """

    split: Literal["file", "line", "paragraph", "fortune"] = "file"
    entries_per_document: int = Field(1, ge=1)
    members: str = "*"
    fallback_encoding: Annotated[str, AfterValidator(_check_encoding)] = _COMMON_ENCODING
    gutenberg: bool = False
    markdown: bool = False
    chapters: Annotated[str, AfterValidator(_check_pattern)] | None = None
    part_characters: int = Field(20_000, ge=1)


class TextReader(Reader):
    """Reads plain text files and zip archives of them."""

    Options = TextOptions

    def _records(self, file: IO[bytes], _url: str) -> Iterator[Record]:
        yield from other_members(file, self.options.members)
        for content in contents(file, self.options.members, as_text=True):
            yield from self._entries(content.scanner, content.base)

    def _entries(self, scanner: Scanner, base: int) -> Iterator[Record]:
        """Yield the entries of a file or archive member, joined as `entries_per_document` says."""
        waiting: list[tuple[int, bytes]] = []
        for entry in self._split(scanner):
            if isinstance(entry, Record):
                yield Record(base + entry.offset, entry.raw_bytes, entry.outcome)
                continue
            waiting.append((base + entry[0], entry[1]))
            if len(waiting) == self.options.entries_per_document:
                yield self._joined(waiting)
                waiting = []
        if waiting:
            yield self._joined(waiting)

    def _split(self, scanner: Scanner) -> Iterator[tuple[int, bytes] | Record]:
        """Yield (offset, bytes) of every entry, or the record that a damaged or too large one is."""
        limit = self.options.max_record_bytes
        while not scanner.at_end():
            offset = scanner.offset
            if self.options.split == "fortune":
                data = _read_fortune(scanner, limit + 1)
            elif self.options.split == "paragraph":
                data = _read_paragraph(scanner, limit + 1)
            elif self.options.split == "line":
                data = scanner.read_line(limit + 1)
            else:
                data = scanner.read(limit + 1)
            if len(data) > limit:
                yield Record(offset, len(data) + self._skip_rest(scanner, data), Skipped(TOO_LARGE))
            elif damage := self._cut_short(scanner, data):
                yield damaged(offset, len(data), damage)
            elif data.strip():
                yield offset, data
            elif self.options.split == "file":
                yield Record(offset, len(data), Skipped("no_text"))

    def _cut_short(self, scanner: Scanner, data: bytes) -> Damage | None:
        if self.options.split in ("line", "paragraph") and data.endswith(b"\n"):
            return None
        return scanner.take_damage()

    def _skip_rest(self, scanner: Scanner, data: bytes) -> int:
        if self.options.split == "line":
            return 0 if data.endswith(b"\n") else scanner.skip_past(b"\n")
        if self.options.split == "fortune":
            return scanner.skip_past(b"\n%")
        if self.options.split == "paragraph":
            return scanner.skip_to(_EMPTY_LINE, _EMPTY_LINE_WIDTH)
        passed = 0
        while step := scanner.skip(1 << 20):
            passed += step
        return passed

    def _joined(self, entries: list[tuple[int, bytes]]) -> Record:
        """Make a record of consecutive entries."""
        offset, raw_bytes = entries[0][0], sum(len(data) for _, data in entries)
        notes: tuple[str, ...] = ()
        texts = []
        for _, data in entries:
            try:
                texts.append(data.decode("utf-8-sig"))
            except UnicodeDecodeError:
                notes = (FALLBACK_ENCODING,)
                try:
                    texts.append(self._decoded(data))
                except UnicodeDecodeError as error:
                    return Record(offset, raw_bytes, Quarantined("bad_encoding", str(error)))
        text = "\n\n".join(text.strip("\r\n") for text in texts)
        return self._record(offset, raw_bytes, self._parts(text), notes=notes)

    def _decoded(self, data: bytes) -> str:
        """Decode what is not UTF-8."""
        if self.options.fallback_encoding != DETECT:
            return data.decode(self.options.fallback_encoding)
        from resiliparse.parse.encoding import detect_encoding

        try:
            return data.decode(detect_encoding(data) or _COMMON_ENCODING)
        except (UnicodeDecodeError, LookupError):
            return data.decode(_COMMON_ENCODING)

    def _parts(self, text: str) -> Iterator[Text]:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        options = self.options
        if options.gutenberg:
            text = cut_gutenberg_frame(text)
        if options.chapters is None:
            yield Text(self._plain(text))
            return
        heading = re.compile(options.chapters, re.MULTILINE)
        for number, part in enumerate(cut_at_headings(text, heading, options.part_characters), start=1):
            yield Text(self._plain(part), part=number)

    def _plain(self, text: str) -> str:
        if self.options.gutenberg:
            text = join_wrapped_lines(text)
        return strip_markdown(text) if self.options.markdown else text


def _read_paragraph(scanner: Scanner, limit: int) -> bytes:
    """Read lines up to and with an empty one."""
    data = bytearray()
    while len(data) < limit:
        line = scanner.read_line(limit - len(data))
        data += line
        if not line.strip() or not line.endswith(b"\n"):
            break
    return bytes(data)


def _read_fortune(scanner: Scanner, limit: int) -> bytes:
    """Read to the next line that begins with `%`, which is left out."""
    data = bytearray()
    while len(data) < limit:
        line = scanner.read_line(limit - len(data))
        if line.startswith(b"%"):
            return bytes(data) or b"\n"
        data += line
        if not line.endswith(b"\n"):
            break
    return bytes(data)
