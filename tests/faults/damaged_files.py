"""Damaged input files: what is done to a sound one, and what must become of its records and documents.

The texts are Python's own manual, each file of other ones, so that none is a duplicate.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.faults.corpus import dump, line, page, texts, warc_record, wiki_page

RECORDS = 16
"""Records of a sound file."""
HUGE = 200_000_000


@dataclass(frozen=True)
class InputFault:
    """A damaged file and what must become of it.

    Attributes:
        name: of the fault.
        injected: what was done, for the table.
        reader: of the source.
        sound: the file as it was.
        damage: writes the damaged file.
        counts: of its records: used, skipped by reason, quarantined by reason.
        lost: documents of the sound file that are not among those of the damaged one.
        cut: whether nobody can know how many records the rest of the file held.
        bounded: whether it must not need much more memory than others.
        told: a pattern in what the command tells, where it does not refuse.
    """

    name: str
    injected: str
    reader: str
    sound: bytes
    damage: Callable[[Path], object]
    counts: dict[str, Any]
    lost: int
    cut: bool = False
    bounded: bool = False
    told: str = ""

    @property
    def quarantined(self) -> dict[str, int]:
        """Quarantined records by reason."""
        return self.counts.get("quarantined", {})

    @property
    def source(self) -> str:
        """A name for its source."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


def _replaced(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def _huge(before: bytes, record_start: bytes, record_end: bytes, after: bytes) -> Callable[[Path], object]:
    """Write a file with a record of 200 MB, almost all of it a hole that the file system keeps no blocks for."""

    def write(path: Path) -> None:
        with path.open("wb") as file:
            file.write(before + record_start)
            file.seek(HUGE, io.SEEK_CUR)
            file.write(record_end + after)

    return write


def _stuffed(data: bytes, more: bytes) -> bytes:
    """Return a line with more bytes before a blank in its middle."""
    middle = data.index(b" ", len(data) // 2)
    return data[:middle] + more + data[middle:]


def _parquet(found: list[str]) -> bytes:
    table = pa.table({"id": [str(n) for n in range(len(found))], "text": found})
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=4, compression="zstd")
    return sink.getvalue()


@dataclass
class _Making:
    """Makes the faults, each of other texts, so that none is a duplicate."""

    found: list[str] = field(default_factory=texts)

    def texts(self) -> list[str]:
        taken, self.found = self.found[:RECORDS], self.found[RECORDS:]
        return taken

    def lines(self) -> list[bytes]:
        return [line(number, text) for number, text in enumerate(self.texts())]

    def pages(self) -> list[bytes]:
        return [warc_record(number, page(text)) for number, text in enumerate(self.texts())]

    def articles(self) -> list[str]:
        return [wiki_page(number, text.replace("*", "")) for number, text in enumerate(self.texts())]


def input_faults() -> list[InputFault]:
    """Return every fault of input files."""
    make = _Making()
    return [
        *_text_faults(make),
        *_compression_faults(make),
        *_warc_faults(make),
        *_table_faults(make),
        *_huge_faults(make),
    ]


def _text_faults(make: _Making) -> list[InputFault]:
    lines, half = make.lines(), RECORDS // 2
    bad = [*lines[:half], _stuffed(lines[half], b"\xff"), *lines[half + 1 :]]
    nul, lone = make.lines(), make.lines()
    nuls = [_stuffed(nul[0], rb"\u0000"), *nul[1:half], _stuffed(nul[half], b"\0"), *nul[half + 1 :]]
    surrogates = [_stuffed(each, rb"\udfff\ud800") for each in lone]  # the other way round they are a pair
    articles = make.articles()
    broken = [*articles[:half], articles[half].replace("</revision>", ""), *articles[half + 1 :]]
    empty = make.lines()
    return [
        InputFault(
            "bad UTF-8 byte",
            "a byte FF in line 9 of 16",
            "jsonl",
            b"".join(lines),
            _replaced(b"".join(bad)),
            {"used": 15, "quarantined": {"bad_encoding": 1}},
            1,
        ),
        InputFault(
            "NUL bytes",
            "escaped in line 1, raw in line 9 of 16",
            "jsonl",
            b"".join(nul),
            _replaced(b"".join(nuls)),
            {"used": 15, "quarantined": {"bad_json": 1}},
            1,
        ),
        InputFault(
            "lone surrogates",
            r"\udfff\ud800 in every line",
            "jsonl",
            b"".join(lone),
            _replaced(b"".join(surrogates)),
            {"used": 16},
            0,
        ),
        InputFault(
            "broken XML page",
            "page 9 of 16 lacks an end tag",
            "mediawiki",
            dump(articles),
            _replaced(dump(broken)),
            {"used": 15, "quarantined": {"bad_xml": 1}},
            1,
        ),
        InputFault(
            "empty file",
            "a file of 0 bytes",
            "jsonl",
            b"".join(empty),
            _replaced(b""),
            {"used": 0},
            16,
            told=r"damaged\.file has no records",
        ),
    ]


def _compression_faults(make: _Making) -> list[InputFault]:
    cut, member = b"".join(make.lines()), make.lines()
    half = gzip.compress(cut, mtime=0)[: len(gzip.compress(cut, mtime=0)) // 2]
    whole = zlib.decompressobj(31).decompress(half).count(b"\n")
    first, second = (gzip.compress(b"".join(part), mtime=0) for part in (member[:8], member[8:]))
    bomb = gzip.compress(bytes(70 << 20), 9, mtime=0)
    return [
        InputFault(
            "truncated gzip",
            "half of the file is missing",
            "jsonl",
            gzip.compress(cut, mtime=0),
            _replaced(half),
            {"used": whole, "quarantined": {"truncated_gzip": 1}},
            RECORDS - whole,
            cut=True,
        ),
        InputFault(
            "decompression bomb",
            "70 MiB of zeros in 70 KB, between two gzip members",
            "jsonl",
            first + second,
            _replaced(first + bomb + second),
            {"used": 16, "skipped": {"too_large": 1}, "quarantined": {"decompression_bomb": 1}},
            0,
            bounded=True,
        ),
    ]


def _warc_faults(make: _Making) -> list[InputFault]:
    garbage = random.Random(5).randbytes(2000)
    cut, within, packed, deep = make.pages(), make.pages(), make.pages(), make.pages()
    middle = len(within[8]) // 2
    stuffed = [*within[:8], within[8][:middle] + garbage + within[8][middle:], *within[9:]]
    members = [gzip.compress(each, mtime=0) for each in packed]
    joined, place = b"".join(members), sum(map(len, members[:6])) + 100
    ends = [sum(map(len, members[: n + 1])) for n in range(RECORDS)]
    hit = sum(end > place and end - len(each) < place + 2000 for end, each in zip(ends, members, strict=True))
    nested = [*deep[:8], warc_record(8, b"<div>" * 10_000 + b"text"), *deep[9:]]
    return [
        InputFault(
            "truncated WARC",
            "cut in the middle of record 9 of 16",
            "warc",
            b"".join(cut),
            _replaced(b"".join(cut[:8]) + cut[8][: len(cut[8]) // 2]),
            {"used": 8, "quarantined": {"truncated_record": 1}},
            8,
            cut=True,
        ),
        InputFault(
            "2 KB of garbage in a WARC",
            "inserted within record 9 of 16",
            "warc",
            b"".join(within),
            _replaced(b"".join(stuffed)),
            {"used": 15, "quarantined": {"bad_content_length": 1}},
            1,
        ),
        InputFault(
            "2 KB of garbage in a gzipped WARC",
            f"over {hit} members of 16",
            "warc",
            joined,
            _replaced(joined[:place] + garbage + joined[place + 2000 :]),
            {"used": RECORDS - hit, "quarantined": {"damaged_gzip": 1}},
            hit,
        ),
        InputFault(
            "10,000 levels of HTML",
            "page 9 of 16",
            "warc",
            b"".join(deep),
            _replaced(b"".join(nested)),
            {"used": 15, "quarantined": {"nested_too_deep": 1}},
            1,
        ),
    ]


def _table_faults(make: _Making) -> list[InputFault]:
    cut, group = _parquet(make.texts()), _parquet(make.texts())
    column = pq.ParquetFile(io.BytesIO(group)).metadata.row_group(1).column(1)
    place = column.dictionary_page_offset + column.total_compressed_size // 2
    return [
        InputFault(
            "truncated Parquet",
            "the last 100 bytes are missing",
            "parquet",
            cut,
            _replaced(cut[:-100]),
            {"used": 0, "quarantined": {"bad_parquet": 1}},
            16,
            cut=True,
        ),
        InputFault(
            "damaged Parquet",
            "64 bytes of row group 2 of 4 are zeros",
            "parquet",
            group,
            _replaced(group[:place] + bytes(64) + group[place + 64 :]),
            {"used": 12, "quarantined": {"damaged_parquet": 4}},
            4,
        ),
    ]


def _huge_faults(make: _Making) -> list[InputFault]:
    lines, pages, articles = make.lines(), make.pages(), make.articles()
    json_start = json.dumps({"id": "huge", "text": ""}).encode()[:-2]
    head = warc_record(99, b"").replace(b"Content-Length: 59", b"Content-Length: %d" % (59 + HUGE))
    wiki = wiki_page(99, "HERE").split("HERE")
    sound = dump(articles)
    end = sound.index(b"</mediawiki>")
    huge = {"used": 16, "skipped": {"too_large": 1}}
    return [
        InputFault(
            "200 MB record, JSON line",
            "between 16 lines",
            "jsonl",
            b"".join(lines),
            _huge(b"".join(lines[:8]), json_start, b'"}\n', b"".join(lines[8:])),
            huge,
            0,
            bounded=True,
        ),
        InputFault(
            "200 MB record, WARC",
            "between 16 records",
            "warc",
            b"".join(pages),
            _huge(b"".join(pages[:8]), head[:-4], b"\r\n\r\n", b"".join(pages[8:])),
            huge,
            0,
            bounded=True,
        ),
        InputFault(
            "200 MB record, XML page",
            "after 16 pages",
            "mediawiki",
            sound,
            _huge(sound[:end], wiki[0].encode(), wiki[1].encode(), sound[end:]),
            huge,
            0,
            bounded=True,
        ),
    ]
