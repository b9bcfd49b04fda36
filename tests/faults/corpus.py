"""A tiny corpus that goes through every stage of a build: Python's own manual (`pydoc_data`), cut into documents.

web/ has HTML pages in a WARC file, wikipedia/ a MediaWiki dump, news/ JSON lines; sets/ is an evaluation set, some of
whose examples are in the corpus. Everything is of the standard library, so that a build needs no other text.
"""

from __future__ import annotations

import gzip
import html
import json
from collections.abc import Iterable
from pathlib import Path
from pydoc_data.topics import topics

PLAIN = """
name = "tiny"
seed = 5
data = "{data}"

[sources.dump]
component = "wikipedia"
reader = "mediawiki"
files = ["{{data}}/wikipedia/dump.xml"]

[sources.lines]
component = "news"
reader = "jsonl"
files = ["{{data}}/news/lines.jsonl"]

[extract]
shards = 1

[select]
languages = ["en"]
min_characters = 100

[holdout]
share = 0.1

[tokenizer]
vocabulary_size = 400
sample_bytes = 60000
threads = 1

[pack]
sequence_length = 64
shards = 1

[mixture]
wikipedia.weight = 0.5
news.weight = 0.5

[versions]
all = {{}}
"""
"""Few stages and files."""

FULL = (
    PLAIN.replace(
        "wikipedia.weight = 0.5\nnews.weight = 0.5", "web.weight = 0.5\nwikipedia.weight = 0.3\nnews.weight = 0.2"
    )
    .replace("shards = 1", "shards = 2")
    .replace("all = {{}}", 'filtered = {{ web = "filtered" }}\nrandom = {{ web = "random" }}')
    + """
[sources.pages]
component = "web"
reader = "warc"
files = ["{{data}}/web/pages.warc.gz"]

[decontaminate]
folder = "{data}/sets"
n = 8
remove = "documents"
sets.task = {{ files = ["{{folder}}/task.jsonl"], fields = ["text"] }}

[quality]
positives = [{{ sources = ["lines", "dump"] }}]
negatives = [{{ sources = ["pages"] }}]
classifier = {{ folds = 2, epochs = 2, buckets = 4096 }}
"""
)
"""Every stage that there is."""


def texts() -> list[str]:
    """Return the paragraphs of the manual, each a document of its own."""
    paragraphs = (" ".join(part.split()) for _, topic in sorted(topics.items()) for part in topic.split("\n\n"))
    long = [paragraph for paragraph in paragraphs if 200 < len(paragraph) < 1200 and not paragraph.startswith("*")]
    return list(dict.fromkeys(long))


def warc_record(number: int, page: bytes) -> bytes:
    """Return a WARC response record."""
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + page
    head = (
        f"WARC/1.1\r\nWARC-Type: response\r\nWARC-Target-URI: http://site{number}.example/\r\n"
        "WARC-Date: 2026-01-01T00:00:00Z\r\nContent-Type: application/http; msgtype=response\r\n"
        f"Content-Length: {len(http)}\r\n\r\n"
    )
    return head.encode() + http + b"\r\n\r\n"


def page(text: str) -> bytes:
    """Return an HTML page of a text."""
    return (
        f"<html><head><title>T</title></head><body><article><p>{html.escape(text)}</p></article></body></html>".encode()
    )


def wiki_page(number: int, text: str) -> str:
    """Return a page of a MediaWiki dump."""
    return (
        f"  <page><title>Page {number}</title><ns>0</ns><id>{number}</id><revision><id>{number}</id>"
        f"<timestamp>2026-01-01T00:00:00Z</timestamp><text>{html.escape(text)}</text></revision></page>\n"
    )


def dump(pages: Iterable[str]) -> bytes:
    """Return a MediaWiki dump of some pages."""
    head = "<mediawiki>\n  <siteinfo><dbname>tinywiki</dbname><base>https://tiny.example/wiki/Main</base></siteinfo>\n"
    return (head + "".join(pages) + "</mediawiki>\n").encode()


def line(number: int, text: str) -> bytes:
    """Return a line of JSON."""
    return json.dumps({"id": str(number), "text": text}).encode() + b"\n"


def write_corpus(folder: Path, config: str) -> Path:
    """Write the corpus into a new folder; return its configuration file."""
    found = texts()[:240]
    web, wiki, news = found[0::3], found[1::3], found[2::3]
    files = {
        "web/pages.warc.gz": b"".join(gzip.compress(warc_record(n, page(text)), mtime=0) for n, text in enumerate(web)),
        "wikipedia/dump.xml": dump(wiki_page(n, text.replace("*", "")) for n, text in enumerate(wiki)),
        "news/lines.jsonl": b"".join(line(n, text) for n, text in enumerate(news)),
        "sets/task.jsonl": b"".join(line(n, " ".join(text.split()[3:20])) for n, text in enumerate(found[::30])),
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    path = folder / "tiny.toml"
    path.write_text(config.format(data=folder))
    return path
