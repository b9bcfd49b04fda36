"""JSON lines: one object a line, plain or compressed; a record is a line.

In: `{"id": …, "text": …, "url": …, "title": …, "date": …}` under any field names. Out: one text a line; native key =
the id field.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any

from pipelines.sources.decompression import decompressed
from pipelines.sources.reader import TOO_LARGE, Reader, ReaderOptions, damaged
from pipelines.sources.record import Quarantined, Record, Skipped, Text
from pipelines.sources.scanner import Scanner


class JsonLinesOptions(ReaderOptions):
    """Names of the fields; a line may lack any of them but the text."""

    id_field: str = "id"
    text_field: str = "text"
    url_field: str = "url"
    title_field: str = "title"
    date_field: str = "date"


class JsonLinesReader(Reader):
    """Reads JSON lines; blank lines are no records, and a line that is no object with a text is quarantined."""

    Options = JsonLinesOptions

    def _records(self, file: IO[bytes], _url: str) -> Iterator[Record]:
        scanner = Scanner(decompressed(file))
        limit = self.options.max_record_bytes
        while not scanner.at_end():
            offset = scanner.offset
            line = scanner.read_line(limit + 1)
            if len(line) > limit and not line.endswith(b"\n"):
                yield Record(offset, len(line) + scanner.skip_past(b"\n"), Skipped(TOO_LARGE))
            elif not line.endswith(b"\n") and (damage := scanner.take_damage()):
                yield damaged(offset, len(line), damage)
            elif line.strip():
                yield self._line(offset, line)

    def _line(self, offset: int, line: bytes) -> Record:
        try:
            value = json.loads(line.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            return Record(offset, len(line), Quarantined("bad_encoding", str(error)))
        except (ValueError, RecursionError) as error:
            return Record(offset, len(line), Quarantined("bad_json", str(error)))
        options = self.options
        if not isinstance(value, dict) or not isinstance(value.get(options.text_field), str):
            detail = f"the line is no object with a string under {options.text_field!r}"
            return Record(offset, len(line), Quarantined("bad_fields", detail))
        text = Text(
            value[options.text_field],
            title=_string(value.get(options.title_field)),
            url=_string(value.get(options.url_field)),
            date=_string(value.get(options.date_field)),
        )
        return self._record(offset, len(line), [text], native_key=_string(value.get(options.id_field)) or "")


def _string(value: Any) -> str | None:
    """Return a field as a string; a number is written out, anything else is as good as missing."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
