"""The readers by the name that a configuration gives them. Importing this imports no heavy library."""

from __future__ import annotations

from pipelines.sources.dialogues import DialoguesReader
from pipelines.sources.html import HtmlReader
from pipelines.sources.jsonl import JsonLinesReader
from pipelines.sources.mediawiki import MediaWikiReader
from pipelines.sources.reader import Reader
from pipelines.sources.reuters import ReutersReader
from pipelines.sources.text import TextReader
from pipelines.sources.warc import WarcReader

READERS: dict[str, type[Reader]] = {
    "dialogues": DialoguesReader,
    "html": HtmlReader,
    "jsonl": JsonLinesReader,
    "mediawiki": MediaWikiReader,
    "reuters": ReutersReader,
    "text": TextReader,
    "warc": WarcReader,
}
