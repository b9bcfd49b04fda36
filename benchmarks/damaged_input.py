"""What damaged input costs: documents kept and exit code of `glam` and of datatrove, on the same files.

    python benchmarks/damaged_input.py [--json]

The beginnings of 4,000 pages (text of real_text.py) as JSON lines, plain and gzipped, and 1,000 as a WARC file of a
gzip member a record; each file is damaged in one place and read by both at their default settings: ours extracts (`glam
sources`), datatrove runs its reader and a JSON lines writer in its local executor. A file that ours refuses, as it does
one that is cut, is read once more with `extract.accept_cut_files`, for the documents. Undamaged files are read too, so
that a difference is of the damage.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from figures import Figure, show
from real_text import pages

BENCHMARK = "damaged_input"
DOCUMENTS, WARC_DOCUMENTS, CHARACTERS = 4000, 1000, 500
PEER_MODULES = {"jsonl": ("datatrove",), "warc": ("datatrove", "warcio", "cchardet", "magic")}
"""What datatrove's readers import: pip install datatrove warcio faust-cchardet python-magic."""
ROOT = Path(__file__).resolve().parent.parent
CONFIG = """
name = "damaged"
data = "{folder}"
[sources.file]
component = "web"
reader = "{reader}"
files = ["{{data}}/{file}"]
[mixture]
web.weight = 1.0
[versions]
all = {{}}
"""
PEER = """
import sys
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader, WarcReader
from datatrove.pipeline.writers import JsonlWriter

kind, folder, file, out = sys.argv[1:]
reader = {"jsonl": JsonlReader, "warc": WarcReader}[kind](folder, glob_pattern=file)
writer = JsonlWriter(out + "/out", compression=None)
LocalPipelineExecutor(pipeline=[reader, writer], tasks=1, workers=1, logging_dir=out + "/logs").run()
"""


@dataclass(frozen=True)
class Damage:
    """A damaged file: what was done to it, how it is read, and the documents that the damage did not touch."""

    what: str
    reader: str
    file: str
    content: bytes
    untouched: int


def files() -> Iterator[Damage]:
    """Yield the files, sound and damaged."""
    found = (pages() * 9)[:DOCUMENTS]
    texts = [f"{text[:CHARACTERS]}\nPage {number}." for number, text in enumerate(found)]
    lines = [
        json.dumps({"id": str(n), "text": text}, ensure_ascii=False).encode() + b"\n" for n, text in enumerate(texts)
    ]
    middle = lines[1000].index(b" ", 300)
    bad = [*lines[:1000], lines[1000][:middle] + b"\xff" + lines[1000][middle:], *lines[1001:]]
    cut = [*lines[:1000], lines[1000][:200] + b"\n", *lines[1001:]]
    packed = gzip.compress(b"".join(lines), 6, mtime=0)
    half = packed[: len(packed) // 2]
    members = [gzip.compress(_warc(n, text), mtime=0) for n, text in enumerate(texts[:WARC_DOCUMENTS])]
    warc = b"".join(members)
    place, ends = len(warc) // 2, [0]
    for member in members:
        ends.append(ends[-1] + len(member))
    before = sum(end <= place for end in ends[1:])
    behind = sum(start >= place + 2000 for start in ends[:-1])
    garbage = random.Random(1).randbytes(2000)
    yield Damage("none, JSON lines", "jsonl", "a.jsonl", b"".join(lines), DOCUMENTS)
    yield Damage("one byte FF in line 1,001", "jsonl", "b.jsonl", b"".join(bad), DOCUMENTS - 1)
    yield Damage("line 1,001 cut off", "jsonl", "c.jsonl", b"".join(cut), DOCUMENTS - 1)
    yield Damage("half of a gzip file", "jsonl", "d.jsonl.gz", half, _lines_before(half))
    yield Damage("none, WARC", "warc", "e.warc.gz", warc, WARC_DOCUMENTS)
    yield Damage("half of a WARC", "warc", "f.warc.gz", warc[:place], before)
    yield Damage(
        "2 KB of garbage in a WARC", "warc", "g.warc.gz", warc[:place] + garbage + warc[place + 2000 :], before + behind
    )


def _lines_before(data: bytes) -> int:
    """Count the whole lines in a cut gzip file."""
    import zlib

    return zlib.decompressobj(31).decompress(data).count(b"\n")


def _warc(number: int, text: str) -> bytes:
    page = f"<html><body><p>{text}</p></body></html>"
    http = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{page}".encode()
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a{number}.example/\r\n"
        f"WARC-Date: 2026-01-01T00:00:00Z\r\nWARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-{number:012d}>\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http)}\r\n\r\n"
    )
    return head.encode() + http + b"\r\n\r\n"


def ours(damage: Damage, folder: Path) -> tuple[int, int, str]:
    """Extract a file; return documents, exit code and what was told."""
    config = folder / f"{damage.file}.toml"
    config.write_text(CONFIG.format(folder=folder, reader=damage.reader, file=damage.file))
    command = [sys.executable, "-m", "glam", "sources", str(config), "--store", str(folder / "store"), "--json"]
    first = run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if first.returncode:
        accepting = [*command, "--set", "extract.accept_cut_files=true"]
        run = subprocess.run(accepting, cwd=ROOT, capture_output=True, text=True, check=True)
    (source,) = json.loads(run.stdout.splitlines()[-1])["sources"]
    documents = source["documents"]["out"] + source["documents"]["copies"]
    refused = "refused, documents once accepted; " if first.returncode else ""
    return documents, first.returncode, f"{refused}{source['records']['quarantined']} quarantined"


def peer(damage: Damage, folder: Path) -> tuple[int, int, str]:
    """Read a file with datatrove; return documents, exit code and whether it says that it is complete."""
    out = folder / f"{damage.file}.out"
    command = [sys.executable, "-c", PEER, damage.reader, str(folder), damage.file, str(out)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    documents = sum(len(path.read_bytes().splitlines()) for path in out.glob("out/*"))
    complete = len(list(out.glob("logs/completions/*")))
    return documents, run.returncode, "marked as complete" if complete else "not marked as complete"


def measure(folder: Path) -> Iterator[Figure]:
    """Yield a figure for each file and system."""
    for damage in files():
        (folder / damage.file).write_bytes(damage.content)
        documents, exit_code, told = ours(damage, folder)
        holds = documents >= damage.untouched or exit_code != 0
        goal = f">= {damage.untouched:,}, or an error"
        note = f"exit code {exit_code}, {told}"
        yield Figure(BENCHMARK, f"glam: {damage.what}", documents, "documents", goal, holds, note)
        if absent := [name for name in PEER_MODULES[damage.reader] if find_spec(name) is None]:
            note = f"not installed: {', '.join(absent)}"
            yield Figure(BENCHMARK, f"datatrove: {damage.what}", 0, "documents", note=note)
            continue
        documents, exit_code, told = peer(damage, folder)
        yield Figure(
            BENCHMARK, f"datatrove: {damage.what}", documents, "documents", note=f"exit code {exit_code}, {told}"
        )


def main() -> None:
    """Read the arguments and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON list")
    parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        show(measure(Path(folder)))


if __name__ == "__main__":
    main()
