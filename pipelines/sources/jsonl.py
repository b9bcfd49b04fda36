"""JSON lines: one object a line, plain or compressed (.gz, .bz2, .zst, .xz), in UTF-8 or UTF-16; a
record is a line.

In: objects whose fields `fields.py` maps. Out: one text a line; native key = the id field.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO

from pipelines.sources.decompression import as_utf8, decompressed
from pipelines.sources.fields import FieldsReader
from pipelines.sources.reader import TOO_LARGE, damaged
from pipelines.sources.record import Quarantined, Record, Skipped
from pipelines.sources.scanner import Scanner


class JsonLinesReader(FieldsReader):
    """Reads JSON lines; blank lines are no records, and a line that is no object with a text is quarantined."""

    def _records(self, file: IO[bytes], _url: str) -> Iterator[Record]:
        scanner = Scanner(as_utf8(decompressed(file)))
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
        return self._row(offset, len(line), value)
