"""WARC files to document shards through Beam on one process, beside plain loops over the same files.

    python benchmarks/warc_to_documents.py [--pages 20000] [--json]

The pages are those of web_pages.py. Ours is the extract job: read, charset, main content, normal form, language, ids,
and the shards written, sorted and compressed, with ledger and provenance. The first loop calls the same kernels (our
reader, the language detector) and keeps nothing; the second reads with FastWARC's iterator instead of our reader, which
survives damaged records. CPU seconds are user and system time, each in a process of its own, after its imports; ours
has the hashing of the input files in it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from figures import Figure, show
from measuring import run_alone
from web_pages import write_pages

from pipelines import extract
from pipelines.config import CorpusConfig
from pipelines.corpus import Corpus
from pipelines.engine import Engine
from pipelines.html import extract_page
from pipelines.language import detect
from pipelines.sources.record import Used
from pipelines.sources.registry import READERS
from pipelines.store.cpu_time import cpu_seconds
from pipelines.store.stages import Store

NAME = "warc_to_documents"
GOAL = 1.25
UNIT = "pages / CPU s"
SHARDS = 32


def web_config(folder: Path) -> CorpusConfig:
    """Return the configuration of the one source."""
    source = {"component": "web", "reader": "warc", "files": [str(folder / "*.warc.gz")]}
    values = {"name": NAME, "sources": {"web": source}, "mixture": {"web": {"weight": 1}}, "versions": {"all": {}}}
    return CorpusConfig.model_validate(values | {"extract": {"shards": SHARDS}})


def through_beam(folder: Path) -> int:
    """Run the extract job as a build does and return the documents it found, copies of equal id included."""
    with tempfile.TemporaryDirectory() as store:
        corpus = Corpus(web_config(folder), Store(store), Engine())
        stages, _ = extract.run(corpus, lambda stage: stage)
        documents = stages["web"].ledger["web"]["documents"]
        return int(documents["out"] + documents["copies"])


def our_texts(path: Path) -> Iterator[str]:
    """Yield the texts that our reader finds in a file."""
    for record in READERS["warc"]({}).read(str(path)):
        if isinstance(record.outcome, Used):
            yield from (text.text for text in record.outcome.texts)


def library_texts(path: Path) -> Iterator[str]:
    """Yield the texts of the pages that FastWARC's own iterator finds in a file."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    for record in ArchiveIterator(str(path), record_types=WarcRecordType.response):
        page = extract_page(record.reader.read(), record.http_charset)
        if page.text:
            yield page.text


def plain_loop(folder: Path, texts: Any) -> int:
    """Detect the language of every text and return how many there are."""
    return sum(bool(detect(text)) for path in sorted(folder.glob("*.warc.gz")) for text in texts(path))


WORK = {
    "beam": through_beam,
    "loop": lambda folder: plain_loop(folder, our_texts),
    "library": lambda folder: plain_loop(folder, library_texts),
}


def measure(work: str, folder: Path) -> dict[str, Any]:
    """Do one piece of work; return its CPU seconds and how many documents it found."""
    _warm_up()
    start = cpu_seconds()
    documents = WORK[work](folder)
    return {"cpu_seconds": cpu_seconds() - start, "documents": documents}


def _warm_up() -> None:
    """Import what the kernels and the runner import when they are first used."""
    with tempfile.TemporaryDirectory() as name:
        one = Path(name) / "one"
        write_pages(one, 1)
        through_beam(one)
        plain_loop(one, our_texts)


def compare(folder: Path, pages: int) -> list[Figure]:
    """Measure everything."""
    runs = {work: run_alone(__file__, "--measure", work, str(folder)) for work in WORK}
    seconds = {work: run["cpu_seconds"] for work, run in runs.items()}
    if runs["beam"]["documents"] != runs["loop"]["documents"]:
        raise SystemExit(f"the job found {runs['beam']['documents']} documents, the loop found {runs['loop']}")
    size = f"{pages:,} pages, {runs['beam']['documents']:,} documents"
    ratio, against_library = (seconds["beam"] / seconds[loop] for loop in ("loop", "library"))
    return [
        Figure(NAME, "glam, through Beam", pages / seconds["beam"], UNIT, note=size),
        Figure(NAME, "plain loop, our kernels", pages / seconds["loop"], UNIT),
        Figure(NAME, "plain loop, FastWARC's iterator", pages / seconds["library"], UNIT),
        Figure(NAME, "glam / plain loop, our kernels", ratio, "times its CPU s", f"<= {GOAL}", ratio <= GOAL),
        Figure(NAME, "glam / plain loop, FastWARC", against_library, "times its CPU s"),
    ]


def main() -> None:
    """Read the arguments and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=20_000)
    parser.add_argument("--json", action="store_true", help="print one JSON list")
    parser.add_argument("--measure", nargs=2, metavar=("WORK", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        work, folder = arguments.measure
        print(json.dumps(measure(work, Path(folder))))
        return
    with tempfile.TemporaryDirectory() as name:
        write_pages(Path(name), arguments.pages)
        show(compare(Path(name), arguments.pages))


if __name__ == "__main__":
    main()
