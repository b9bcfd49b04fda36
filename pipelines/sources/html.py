"""Stored HTML pages, one a file: the same extraction as for WARC records, without HTTP headers.

An index, a JSON object {file name relative to the index's folder: {"url": …}}, tells the pages' URLs; native key =
that URL.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import IO

from pipelines.sources.decompression import decompressed
from pipelines.sources.errors import SourceError
from pipelines.sources.locate import locate
from pipelines.sources.page import PageOptions, read_page
from pipelines.sources.reader import TOO_LARGE, Reader, damaged
from pipelines.sources.record import Record, Skipped
from pipelines.sources.scanner import Scanner
from pipelines.store.files import read_bytes


class HtmlOptions(PageOptions):
    """Options of stored pages.

    Attributes:
        index: the index (a path or a `package:` pattern), or None; pages that it does not name have no URL.
    """

    index: str | None = None


class HtmlReader(Reader):
    """Reads a file as one record, an HTML page."""

    Options = HtmlOptions
    path_options = frozenset({"index"})

    def _records(self, file: IO[bytes], url: str) -> Iterator[Record]:
        page_url = _url_in_index(self.options.index, url) if self.options.index else None
        key = page_url or ""
        scanner = Scanner(decompressed(file))
        offset, limit = scanner.offset, self.options.max_record_bytes
        payload = scanner.read(limit + 1)
        if damage := scanner.take_damage():
            yield replace(damaged(offset, len(payload), damage), native_key=key)
            return
        if len(payload) > limit:
            while not scanner.at_end() and not scanner.take_damage():
                limit += scanner.skip(1 << 20)
            yield Record(offset, limit + 1, Skipped(TOO_LARGE), key)
            return
        outcome = read_page(payload, None, self.options, page_url)
        yield Record(offset, len(payload), outcome, key)


def _url_in_index(index: str, url: str) -> str | None:
    folder, urls = _read_index(index)
    return urls.get(url.removeprefix(folder)) if url.startswith(folder) else None


@lru_cache(maxsize=8)
def _read_index(index: str) -> tuple[str, dict[str, str]]:
    """Return the folder of an index, with a slash, and the URLs by file name under it."""
    found = locate([index])
    if len(found) != 1:
        raise SourceError(f"{index}: the index is {len(found)} files; the option `index` must name one")
    try:
        entries = json.loads(read_bytes(found[0]))
        urls = {name: entry["url"] for name, entry in entries.items() if isinstance(entry.get("url"), str)}
    except (ValueError, AttributeError) as error:
        raise SourceError(
            f'{found[0]}: not an index of pages ({error}); it must be a JSON object {{file name: {{"url": …}}}}'
        ) from error
    return found[0].rsplit("/", 1)[0] + "/", urls
