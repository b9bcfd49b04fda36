"""JSON lines, Reuters stories and stored HTML pages."""

import gzip
import json

import pytest
import zstandard

from pipelines.sources.errors import SourceError
from pipelines.sources.html import HtmlReader
from pipelines.sources.jsonl import JsonLinesReader
from pipelines.sources.reuters import ReutersReader

# ---- JSON lines


def test_real_lines_and_one_with_bad_bytes(corpus, write, tally):
    path = corpus / "web/ccnet/cc_en_head-0091.jsonl.gz"
    assert tally(JsonLinesReader().read(str(path))) == {"used": 10}
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    lines[3] = lines[3].replace(b" the ", b" th\xe9 ", 1)
    lines[5] = lines[5][:100] + b"\n"
    for compress in (bytes, gzip.compress, zstandard.compress):
        records = list(JsonLinesReader().read(write(compress(b"".join(lines)))))
        assert tally(records) == {"used": 8, "!bad_encoding": 1, "!bad_json": 1}
        assert sum(record.raw_bytes for record in records) == len(b"".join(lines))


def test_json_fields(write):
    line = {"key": 7, "body": "Text.", "link": "http://a", "head": "A\nb", "day": "2020-01-01"}
    fields = dict(zip(["id", "text", "url", "title", "date"], line, strict=True))
    reader = JsonLinesReader({f"{field}_field": name for field, name in fields.items()})
    (record,) = reader.read(write(json.dumps(line).encode()))
    (text,) = record.outcome.texts
    assert record.native_key == "7"
    assert (text.text, text.url, text.title, text.date) == ("Text.", "http://a", "A b", "2020-01-01")


def test_lines_that_give_no_document(write, tally):
    lines = [b'{"text": 5}', b"[1]", b'{"text": " "}', b"{", b"", b'{"text": "' + b"x" * 300 + b'"}', b'{"text": "ok"}']
    counts = tally(JsonLinesReader({"max_record_bytes": 200}).read(write(b"\n".join(lines))))
    assert counts == {"!bad_fields": 2, "no_text": 1, "!bad_json": 1, "too_large": 1, "used": 1}


def test_deeply_nested_line_is_quarantined(write, tally):
    deep = b'{"text": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    assert tally(JsonLinesReader().read(write(deep + b'\n{"text": "ok"}\n'))) == {"!bad_json": 1, "used": 1}


def test_damage_costs_the_line_that_it_cut(write, tally):
    lines = b'{"text": "one"}\n{"text": "two"}\n'
    assert tally(JsonLinesReader().read(write(gzip.compress(lines * 2)[:-4]))) == {"used": 4, "!truncated_gzip": 1}


# ---- Reuters


def test_reuters_stories(corpus, tally):
    records = list(ReutersReader().read(str(corpus / "news/reuters21578/reut2-000.sgm.gz")))
    assert tally(records).total() == 1000
    assert set(tally(records)) == {"used", "no_text"}
    (text,) = records[0].outcome.texts
    assert (text.title, text.date) == ("BAHIA COCOA REVIEW", "1987-02-26T15:01:01")
    assert text.text.startswith(
        "Showers continued throughout the week in the Bahia cocoa zone, alleviating the drought"
    )
    assert text.text.endswith("after carnival which ends midday on February 27.")


def test_broken_story_costs_only_itself(corpus, write, tally):
    data = gzip.decompress((corpus / "news/reuters21578/reut2-000.sgm.gz").read_bytes())
    cut = data.index(b"</REUTERS>", 100_000)
    whole = tally(ReutersReader().read(write(data)))
    broken = tally(ReutersReader().read(write(data[:cut] + data[cut + 10 : -40])))
    assert broken["!truncated_story"] == 2
    assert broken.total() == whole.total()


# ---- Stored HTML pages


def test_stored_pages_have_the_urls_of_their_index(installed, tally):
    pages = installed("package:formasaurus/data/html/*.html")
    assert len(pages) == 954
    reader = HtmlReader({"index": "package:formasaurus/data/index.json"})
    records = [record for path in pages[:60] for record in reader.read(path)]
    assert tally(records).total() == 60
    (page,) = [path for path in pages if path.endswith("/html/0.html")]
    (record,) = reader.read(page)
    assert record.native_key == record.outcome.texts[0].url == "http://5kaixin.net/"


def test_page_without_index(write, tally):
    html = "<title>T</title><article><p>" + "A sentence of the page. " * 20
    (record,) = HtmlReader().read(write(gzip.compress(html.encode())))
    assert record.native_key == ""
    assert record.outcome.texts[0].title == "T"
    assert record.raw_bytes == len(html)
    assert tally(HtmlReader({"max_record_bytes": 99}).read(write(html.encode()))) == {"too_large": 1}
    assert tally(HtmlReader().read(write(b"<div>" * 5000))) == {"!nested_too_deep": 1}


@pytest.mark.parametrize("content", [b"[]", b"not json", b'{"a": 1}'])
def test_bad_index_is_an_error_that_names_it(write, content):
    index = write(content, "index.json")
    with pytest.raises(SourceError, match=r"index\.json: not an index"):
        list(HtmlReader({"index": index}).read(write(b"<p>text", "a.html")))
    with pytest.raises(SourceError, match="must name one"):
        list(HtmlReader({"index": index + ".none"}).read(write(b"<p>text", "a.html")))
