"""What the readers of HTML pages share: the limits of a page, and what becomes of one."""

from __future__ import annotations

from pydantic import Field

from pipelines.html import MAX_NESTING
from pipelines.page_process import TOO_SLOW, Failure, PageLimits, extract_within
from pipelines.sources.reader import NO_TEXT, ReaderOptions
from pipelines.sources.record import Outcome, Quarantined, Skipped, Text, Used


class PageOptions(ReaderOptions):
    """Options of HTML pages.

    Attributes:
        max_nesting: pages that nest deeper are quarantined as `nested_too_deep`.
        max_seconds_per_page: pages that take more CPU seconds are skipped as `too_slow`; 0: no limit. Nothing else that
            becomes of a page depends on the machine.
    """

    max_nesting: int = Field(MAX_NESTING, ge=1)
    max_seconds_per_page: int = Field(30, ge=0)


def read_page(
    payload: bytes, charset: str | None, options: PageOptions, url: str | None = None, date: str | None = None
) -> Outcome:
    """Return what becomes of a page; `charset` is that of the HTTP header."""
    page = extract_within(payload, charset, PageLimits(options.max_nesting, options.max_seconds_per_page))
    if isinstance(page, Failure):
        return Skipped(page.reason) if page.reason == TOO_SLOW else Quarantined(page.reason, page.detail)
    if len(page.text) < options.min_characters:
        return Skipped(NO_TEXT)
    return Used((Text(page.text, title=page.title, url=url, date=date),), (page.charset_note,))
