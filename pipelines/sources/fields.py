"""Rows of named fields (JSON lines, Parquet) as texts, by a map of field names.

In: `{"id": …, "text": …, "url": …, "title": …, "date": …}` under any names, nested ones with dots (`meta.url`). Out:
one text a row; native key = the id. A date in any form of `dates.py` becomes ISO 8601; another is left out with the
note `bad_date`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.sources.dates import BAD_DATE, iso_date
from pipelines.sources.reader import Reader, ReaderOptions
from pipelines.sources.record import Quarantined, Record, Text


class FieldOptions(ReaderOptions):
    """Names of the fields, `a.b` for `b` in `a`; a row may lack any of them but the text."""

    id_field: str = "id"
    text_field: str = "text"
    url_field: str = "url"
    title_field: str = "title"
    date_field: str = "date"


class FieldsReader(Reader):
    """A reader whose records are rows of fields."""

    Options = FieldOptions

    def _row(self, offset: int, raw_bytes: int, row: Any) -> Record:
        """Make a record of a row; one that is no object with a text is quarantined."""
        options = self.options
        text = field(row, options.text_field)
        if not isinstance(text, str):
            there = f"; fields: {', '.join(map(repr, row)):.100}" if isinstance(row, Mapping) else ""
            detail = f"no string under {options.text_field!r}, but {type(text).__name__}{there}"
            return Record(offset, raw_bytes, Quarantined("bad_fields", detail))
        date = field(row, options.date_field)
        iso = iso_date(date)
        title, url = _string(field(row, options.title_field)), _string(field(row, options.url_field))
        notes = (BAD_DATE,) if iso is None and date not in (None, "") else ()
        key = _string(field(row, options.id_field)) or ""
        return self._record(offset, raw_bytes, [Text(text, title, url, iso)], key, notes)


def field(row: Any, path: str) -> Any:
    """Return the value of a field, or None where it is missing; a name with a dot in it comes before a nested one."""
    if not isinstance(row, Mapping):
        return None
    if path in row:
        return row[path]
    outer, dot, inner = path.partition(".")
    return field(row.get(outer), inner) if dot else None


def _string(value: Any) -> str | None:
    """Return a field as a string; a number is written out, anything else is as good as missing."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
