"""The readers by the name that a configuration gives them. Importing this imports no heavy library."""

from __future__ import annotations

from pipelines.sources.html import HtmlReader
from pipelines.sources.jsonl import JsonLinesReader
from pipelines.sources.reader import Reader
from pipelines.sources.text import TextReader
from pipelines.sources.warc import WarcReader

READERS: dict[str, type[Reader]] = {
    "html": HtmlReader,
    "jsonl": JsonLinesReader,
    "text": TextReader,
    "warc": WarcReader,
}
