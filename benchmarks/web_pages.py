"""Web pages in WARC files, as many as asked for, each with a text of its own.

The pages are those of $GLAM_CORPUS/web/pages-*.warc.gz if it is set, else the 950 of the package formasaurus (`demo`
extra). Read again for the n-th time, a page gets another URL, and in its text every seventh word gives way to another
one of the page, beginning with the n-th: so nothing is a duplicate, while size, markup, encoding and vocabulary stay
those of real pages. Text without blanks between words stays as it is.

In: a folder, pages, pages a file. Out: `pages-….warc.gz`, a gzip member a record, as crawlers write them.
"""

from __future__ import annotations

import gzip
import io
import os
import re
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from pipelines.sources.locate import locate

STRIDE = 7
_TEXT_NODE = re.compile(rb">([^<>]{24,})<")
_HTTP = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n"


def write_pages(folder: Path, pages: int, pages_a_file: int = 1000, different: int | None = None) -> list[Path]:
    """Write WARC files with `pages` pages in all, made of the first `different` ones, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    source = islice(_pages(different), pages)
    paths = [folder / f"pages-{number:05d}.warc.gz" for number in range(-(-pages // pages_a_file))]
    for path in paths:
        with path.open("wb") as file:
            for url, page in islice(source, pages_a_file):
                file.write(gzip.compress(_record(url, page), 1, mtime=0))
    return paths


def _pages(different: int | None) -> Iterator[tuple[str, bytes]]:
    """Yield (url, HTML) without end: the pages as they are, then again and again with other words."""
    for turn in count():
        for url, page in islice(_originals(), different):
            yield (url, page) if turn == 0 else (f"{url}#{turn}", _TEXT_NODE.sub(_other_words(turn), page))


def _originals() -> Iterator[tuple[str, bytes]]:
    corpus = os.environ.get("GLAM_CORPUS")
    if corpus:
        for path in sorted(Path(corpus).glob("web/pages-*.warc.gz")):
            for record in ArchiveIterator(str(path), record_types=WarcRecordType.response):
                yield record.headers["WARC-Target-URI"], record.reader.read()
        return
    for number, path in enumerate(locate(["package:formasaurus/data/html/*.html"])):
        yield f"http://page{number}.example/", Path(path).read_bytes()


def _other_words(turn: int) -> Callable[[re.Match[bytes]], bytes]:
    def replaced(match: re.Match[bytes]) -> bytes:
        words = match[1].split(b" ")
        others = words[turn * STRIDE % len(words) :] + words
        words[turn % STRIDE :: STRIDE] = others[: len(words[turn % STRIDE :: STRIDE])]
        return b">" + b" ".join(words) + b"<"

    return replaced


def _record(url: str, page: bytes) -> bytes:
    record = WarcRecord()
    record.init_headers(WarcRecordType.response)
    record.headers["WARC-Target-URI"] = url
    record.headers["WARC-Date"] = "2026-01-01T00:00:00Z"
    record.headers["Content-Type"] = "application/http; msgtype=response"
    record.set_bytes_content(_HTTP % len(page) + page)
    sink = io.BytesIO()
    record.write(sink)
    return sink.getvalue()
