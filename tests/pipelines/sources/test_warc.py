"""WARC files of real crawlers are counted to the record; damage costs what it hit and nothing else."""

import gzip
import json
import re
from collections import Counter

import pytest

from pipelines.sources.record import Quarantined, Used
from pipelines.sources.registry import READERS
from pipelines.sources.warc import WarcReader

PAGE = "<html><head><title>Page {n}</title></head><body><article><p>{text}</p></article></body></html>"
SENTENCE = "This page tells at some length what there is to tell about number {n}. "


def response(
    n: int, body: bytes | None = None, http: str = "200 OK\r\nContent-Type: text/html; charset=utf-8"
) -> bytes:
    page = body if body is not None else PAGE.format(n=n, text=SENTENCE.format(n=n) * 5).encode()
    return record("response", f"http://example.org/{n}", f"HTTP/1.1 {http}\r\n\r\n".encode() + page)


def record(kind: str, uri: str, body: bytes) -> bytes:
    head = (
        f"WARC/1.1\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {uri}\r\nWARC-Date: 2026-01-02T03:04:05Z\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body + b"\r\n\r\n"


@pytest.fixture
def read(tmp_path):
    def read(data: bytes, **options):
        path = tmp_path / "file.warc"
        path.write_bytes(data)
        return list(WarcReader(options).read(str(path)))

    return read


CRAWLS = {
    "archive-it-2008-example.warc.gz": {
        "used": 93, "warc_warcinfo": 1, "warc_request": 261, "warc_metadata": 261, "not_http": 38, "not_html": 120,
        "http_status": 47, "no_text": 1,
    },
    "dolma-sample-0000.warc.gz": {
        "used": 22, "warc_warcinfo": 1, "warc_request": 22, "warc_metadata": 1, "warc_resource": 2,
    },
    "iana.warc.gz": {
        "used": 16, "warc_warcinfo": 1, "warc_request": 171, "warc_revisit": 123, "not_html": 28, "http_status": 4,
    },
    "issue-493.warc": {
        "used": 3, "warc_warcinfo": 2, "warc_request": 15, "warc_revisit": 5, "not_html": 5, "http_status": 1,
        "no_text": 1,
    },
    "issue-514.warc": {
        "used": 1, "warc_warcinfo": 1, "warc_request": 2, "warc_metadata": 1, "warc_resource": 2, "http_status": 1,
    },
    "common-crawl-2016-25docs.wet.gz": {"used": 25, "warc_warcinfo": 1},
}  # fmt: skip


@pytest.mark.parametrize("name", CRAWLS)
def test_files_of_real_crawlers(name, corpus, tally):
    assert tally(WarcReader().read(str(corpus / "web/crawl-samples" / name))) == CRAWLS[name]


def test_offsets_and_native_keys_agree_with_the_index_of_the_crawl(corpus):
    name = "pages-00000.warc.gz"
    with gzip.open(corpus / "web/index.jsonl.gz", "rt", encoding="utf-8") as lines:
        index = {page["offset"]: page for page in map(json.loads, lines) if page["warc"] == name}
    seen, similar_length = 0, Counter()
    for record in WarcReader().read(str(corpus / "web" / name)):
        if record.native_key and seen < 150:
            page = index[record.offset]
            assert record.native_key.startswith(page["url"] + " 20")
            seen += 1
            if isinstance(record.outcome, Used):
                (text,) = record.outcome.texts
                assert text.url == page["url"]
                similar_length[page["main_text_chars"] * 0.5 <= len(text.text) + 100] += 1
        elif seen >= 150:
            break
    assert seen == 150
    assert similar_length[True] > 0.8 * similar_length.total()


def test_damaged_member_of_a_real_file_costs_one_record(corpus, tmp_path, tally):
    with (corpus / "web/pages-00001.warc.gz").open("rb") as file:
        data = bytearray(file.read(1_500_000))
    starts = [match.start() for match in re.finditer(rb"\x1f\x8b\x08[\x00-\x1f]\0{4}", data)]
    data = data[: starts[40]]  # whole members only
    path = tmp_path / "sound.warc.gz"
    path.write_bytes(data)
    sound = tally(WarcReader().read(str(path)))
    assert not [reason for reason in sound if reason.startswith("!")]
    data[(starts[20] + starts[21]) // 2] ^= 0xFF
    path.write_bytes(data[:-30])
    damaged = tally(WarcReader().read(str(path)))
    assert damaged["!damaged_gzip"] == 1
    assert damaged["!truncated_gzip"] == 1
    assert damaged.total() == sound.total()


def test_fields_of_a_page(read):
    first, second = read(gzip.compress(response(1)) + gzip.compress(response(2)))
    assert first.native_key == "http://example.org/1 2026-01-02T03:04:05Z"
    assert (first.offset, second.offset) == (0, len(gzip.compress(response(1))))
    assert first.raw_bytes == len(response(1)) - 4
    (text,) = first.outcome.texts
    assert (text.title, text.url, text.date) == ("Page 1", "http://example.org/1", "2026-01-02T03:04:05Z")
    assert text.text == (SENTENCE.format(n=1) * 5).strip()


def test_all_records_in_one_gzip_member(read, tally):
    records = read(gzip.compress(response(1) + response(2) + response(3)))
    assert tally(records) == {"used": 3}
    assert [r.offset for r in records] == [0, len(response(1)), len(response(1) + response(2))]


def test_garbage_between_records_is_one_quarantined_record(read, tally):
    records = read(response(1) + b"\x00garbage\r\nWARC/ not a record\r\n" * 9000 + response(2))
    assert tally(records) == {"used": 2, "!not_warc": 1}
    assert records[1].offset == len(response(1))


def test_bytes_inserted_into_a_body_cost_that_record(read, tally):
    middle = response(2)
    records = read(response(1) + middle[:400] + b"inserted" * 50 + middle[400:] + response(3))
    assert tally(records) == {"used": 2, "!bad_content_length": 1}


def test_bytes_missing_in_a_body_do_not_swallow_the_next_record(read, tally):
    middle = response(2)
    records = read(response(1) + middle[:400] + middle[450:] + response(3) + response(4))
    assert tally(records) == {"used": 3, "!bad_content_length": 1}
    assert sum(r.raw_bytes for r in records) <= len(response(1)) * 4


def test_truncated_plain_file(read, tally):
    assert tally(read(response(1) + response(2)[:-100])) == {"used": 1, "!truncated_record": 1}


@pytest.mark.parametrize("length", [b"", b"many", b"-5"])
def test_header_without_a_usable_length(read, tally, length):
    bad = re.sub(rb"Content-Length: \d+", b"Content-Length: " + length, response(1))
    counts = tally(read(bad + response(2)))
    assert counts["!bad_warc_header"] == 1
    assert counts["used"] == 1


@pytest.mark.parametrize(
    ("http", "body", "reason"),
    [
        ("404 Not Found\r\nContent-Type: text/html", b"<p>no</p>", "http_status"),
        ("301 Moved\r\nLocation: /", b"", "http_status"),
        ("200 OK\r\nContent-Type: application/pdf", b"%PDF", "not_html"),
        ("200 OK\r\nContent-Type: text/html", b"", "no_text"),
        ("200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip", b"not gzip", "!bad_http_encoding"),
        ("200 OK\r\nContent-Type: text/html", b"<div>" * 10_000, "!nested_too_deep"),
        ("what?", b"<p>text</p>", "!bad_http"),
        ("200 OK\r\nX: " + "x" * 40_000, b"<p>text</p>", "!bad_http"),
    ],
)
def test_pages_that_give_no_document(read, tally, http, body, reason):
    assert tally(read(response(1, body, http))) == {reason: 1}


def test_http_encodings_are_undone_and_stale_headers_survived(read, tally):
    page = PAGE.format(n=1, text=SENTENCE.format(n=1) * 5).encode()
    packed = gzip.compress(page)
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(packed), packed)
    html = "200 OK\r\nContent-Type: text/html\r\n"
    records = read(
        response(1, packed, html + "Content-Encoding: gzip")
        + response(2, chunked, html + "Content-Encoding: gzip\r\nTransfer-Encoding: chunked")
        + response(3, page, html + "Content-Encoding: gzip")
    )
    assert tally(records) == {"used": 3}
    assert len({r.outcome.texts[0].text for r in records}) == 1


def test_too_large_record_is_passed_over_and_a_compressed_bomb_too(read, tally):
    bomb = response(
        2, gzip.compress(b"<p>" + b"a" * 3_000_000), "200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip"
    )
    records = read(response(1, b"<p>" + b"a" * 2_000_000) + bomb + response(3), max_record_bytes=1_000_000)
    assert tally(records) == {"too_large": 2, "used": 1}
    assert records[0].raw_bytes > 2_000_000


def test_unusual_framing(read, tally):
    old = (
        response(1)
        .replace(b"WARC/1.1", b"WARC/0.17")
        .replace(b"http://example.org/1\r\nWARC", b"<http://example.org/1>\r\nWARC")
    )
    folded = response(2).replace(b"WARC-Date: ", b"warc-date:\r\n\t")
    records = read(b"\r\n\r\n" + old + folded.rstrip())
    assert tally(records) == {"used": 2}
    assert [r.native_key for r in records] == [f"http://example.org/{n} 2026-01-02T03:04:05Z" for n in (1, 2)]


def test_conversion_records_of_wet_files(read, tally):
    good = record("conversion", "http://example.org/", "Text of a página.".encode())
    bad = record("conversion", "http://example.org/", b"\xff\xfe\xfd")
    records = read(good + bad)
    assert tally(records) == {"used": 1, "!bad_encoding": 1}
    assert records[0].outcome.texts[0].text == "Text of a página."


def test_quarantine_tells_where_and_why(read):
    (first, _) = read(b"garbage" + response(1))
    assert first.offset == 0
    assert isinstance(first.outcome, Quarantined)
    assert "7 bytes" in first.outcome.detail
    assert READERS["warc"] is WarcReader
