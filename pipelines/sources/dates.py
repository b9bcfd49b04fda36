"""Dates of records as ISO 8601, whatever form the source gives them.

In: a string in ISO 8601 (a year, a month, a day, a time) or as mail writes it (RFC 5322), seconds or milliseconds
since 1970, or a `date` or `datetime`. Out: ISO 8601, or None where it is no date of the years 1000 to 2999.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import Any

BAD_DATE = "bad_date"
"""Note: the record has a date that cannot be read; the document has none."""

_ISO = re.compile(
    r"([12]\d{3}(?:-\d\d(?:-\d\d)?)?)(?:[T ](\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?) ?(Z|[+-]\d\d(?::?\d\d)?)?)?"
)
_SECONDS = (10**8, 10**10)
"""Numbers between these are seconds since 1970: 1973 to 2286. A thousand times as much are milliseconds."""


def iso_date(value: Any) -> str | None:
    """Return a date in ISO 8601, as precise as it is given; None where `value` is no date."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _from_number(value)
    if not isinstance(value, str):
        return None
    value = value.strip()
    if match := _ISO.fullmatch(value):
        return _checked("T".join(filter(None, match.group(1, 2))) + (match[3] or ""))
    return _from_mail(value)


def _from_number(value: float) -> str | None:
    low, high = _SECONDS
    if low * 1000 <= value < high * 1000:
        value /= 1000
    if not low <= value < high:  # not a number neither
        return None
    return datetime.fromtimestamp(int(value), UTC).isoformat().replace("+00:00", "Z")


def _checked(text: str) -> str | None:
    """Return an ISO date whose day and time exist."""
    day, _, _ = text.partition("T")
    try:
        date.fromisoformat((day + "-01-01")[:10])
        if day != text:
            datetime.fromisoformat(text)
    except ValueError:
        return None
    return text


def _from_mail(text: str) -> str | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment.isoformat() if 1000 <= moment.year < 3000 else None
