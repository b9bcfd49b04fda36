"""Near-duplicate removal, documents to decisions through Beam on one process, beside the peers on the same documents.

    python benchmarks/deduplication.py [--documents 30000] [--json]

The corpus is that of near_duplicate_corpus.py: invented texts of about 450 words, every fourth with an edited copy of
known Jaccard similarity. Of each system: documents a CPU second (own time and children's, imports excluded, the best of
a few runs, each in a process of its own), precision and recall of what it removed. One definition for all: a removed
document is right if it is in an injected pair of J >= 0.8; such a pair is found if one of the two is removed. Slow
peers get a tenth of the documents. Ours also: bytes shuffled a document, and peak memory at a tenth and at all of them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from deduplication_systems import PEERS, System, read_texts
from figures import Figure, show
from measuring import peak_mib, run_alone
from near_duplicate_corpus import InjectedPair, make_corpus

from pipelines import deduplicate, extract
from pipelines.config import CorpusConfig
from pipelines.corpus import Corpus
from pipelines.documents import read_table
from pipelines.engine import Engine
from pipelines.store.cpu_time import cpu_seconds
from pipelines.store.stages import FinishedStage, Store

NAME = "deduplication"
OURS = "glam"
THRESHOLD = 0.8
FAST_ROUNDS = 3
PAIRED = 0.25
RATE = "documents / CPU s"


@dataclass(frozen=True)
class Measurement:
    """What one run took and removed; `shuffled_bytes` of ours alone."""

    cpu_seconds: float
    peak_mib: float
    removed: frozenset[str]
    shuffled_bytes: int


@dataclass(frozen=True)
class Sample:
    """Documents to measure on: their folder, how many, and the injected pairs among them."""

    folder: Path
    documents: int
    pairs: list[InjectedPair]


def small_config(folder: Path) -> CorpusConfig:
    """Return the configuration of the benchmark's one source."""
    source = {"component": "web", "reader": "jsonl", "files": [str(folder / "texts.jsonl")]}
    values = {"name": NAME, "sources": {"web": source}, "mixture": {"web": {"weight": 1}}, "versions": {"all": {}}}
    return CorpusConfig.model_validate(values | {"select": {"min_characters": 1}})


def make_sample(folder: Path, documents: int) -> Sample:
    """Write a corpus as JSON lines and extract it to document shards, which all systems read."""
    corpus = make_corpus(round(documents / (1 + PAIRED)), copied=PAIRED)
    folder.mkdir()
    lines = (json.dumps({"id": name, "text": text}) + "\n" for name, text in corpus.texts.items())
    (folder / "texts.jsonl").write_text("".join(lines))
    extract.run(Corpus(small_config(folder), Store(str(folder)), Engine()), lambda stage: stage)
    return Sample(folder, len(corpus.texts), corpus.pairs)


def documents_of(folder: Path) -> Path:
    """Return the folder of a sample's document shards."""
    (found,) = folder.glob("stages/extract/*/documents/web")
    return found


def removed_by(done: FinishedStage, documents: Path) -> set[str]:
    """Return the names of the documents that our decisions remove."""
    reasons = [reason for url in done.urls("decisions/") for reason in read_table(url, ["reason"])[0].to_pylist()]
    names = [name for name, _ in read_texts(documents)]
    return {name for name, reason in zip(names, reasons, strict=True) if reason}


def measure_ours(folder: Path) -> dict[str, Any]:
    """Run the stage as a build does and return what `Measurement` holds."""
    corpus = Corpus(small_config(folder), Store(str(folder)), Engine())
    documents, _ = extract.run(corpus, lambda stage: stage)  # found in the store
    start = cpu_seconds()
    done = deduplicate.run(replace(corpus, documents=documents))
    used, peak = cpu_seconds() - start, peak_mib()
    removed = sorted(removed_by(done, documents_of(folder)))
    shuffled = done.manifest["side"]["shuffled_bytes"]
    return {"cpu_seconds": used, "peak_mib": peak, "removed": removed, "shuffled_bytes": shuffled}


def measure_peer(system: System, folder: Path) -> dict[str, Any]:
    """Run a peer and return what `Measurement` holds."""
    system.missing()
    start = cpu_seconds()
    removed = sorted(system.run(documents_of(folder)))
    return {
        "cpu_seconds": cpu_seconds() - start,
        "peak_mib": peak_mib(),
        "removed": removed,
        "shuffled_bytes": 0,
    }


def measure(system: str, sample: Sample, rounds: int = 1) -> Measurement:
    """Run a system in processes of its own and return the quickest run."""
    runs = []
    for _ in range(rounds):
        for stage in (sample.folder / "stages" / "deduplicate").glob("*/manifest.json"):
            stage.unlink()  # so that it is computed again
        runs.append(run_alone(__file__, "--measure", system, str(sample.folder)))
    best = min(runs, key=lambda run: run["cpu_seconds"])
    return Measurement(**{**best, "removed": frozenset(best["removed"])})


def quality(removed: frozenset[str], pairs: list[InjectedPair]) -> tuple[float, float]:
    """Return precision and recall of what was removed, at the threshold."""
    similar = [pair for pair in pairs if pair.similarity >= THRESHOLD]
    right = {name for pair in similar for name in (pair.base, pair.copy)}
    found = sum(bool(removed & {pair.base, pair.copy}) for pair in similar)
    return len(removed & right) / max(len(removed), 1), found / max(len(similar), 1)


def goals(subject: str, value: float, unit: str, goal: float, words: str, note: str = "") -> Figure:
    """Return a figure that is to reach `goal` or more."""
    return Figure(NAME, subject, value, unit, words, value >= goal, note)


def figures_of(label: str, measurement: Measurement, sample: Sample, held: bool) -> list[Figure]:
    """Return rate, precision and recall of a system; ours is held to the goals of quality."""
    precision, recall = quality(measurement.removed, sample.pairs)
    rate = sample.documents / measurement.cpu_seconds
    figures = [Figure(NAME, label, rate, RATE, note=f"{sample.documents:,} documents")]
    for name, value in (("precision", precision), ("recall", recall)):
        subject, unit = f"{label}: {name}", f"at J >= {THRESHOLD}"
        figures.append(goals(subject, value, unit, 0.99, ">= 0.99") if held else Figure(NAME, subject, value, unit))
    return figures


def compare(everything: Sample, tenth: Sample) -> list[Figure]:
    """Measure all systems."""
    ours = measure(OURS, everything, FAST_ROUNDS)
    figures = figures_of("glam, through Beam", ours, everything, held=True)
    rate = figures[0].value
    factors: dict[str, tuple[float, Callable[[float], str]]] = {
        "rensa": (1.0, lambda _: ">= 1"),
        "datatrove": (20.0, lambda factor: f">= {factor:g}"),
    }
    for name, system in PEERS.items():
        if problem := system.missing():
            figures.append(Figure(NAME, system.label, 0.0, RATE, note=problem))
            continue
        fast = name == "rensa"
        sample = everything if fast else tenth
        peer = figures_of(system.label, measure(name, sample, FAST_ROUNDS if fast else 1), sample, held=False)
        figures += peer
        ratio, subject = rate / peer[0].value, f"glam / {name}"
        if name in factors:
            factor, words = factors[name]
            figures.append(goals(subject, ratio, "times", factor, words(factor)))
        else:
            figures.append(Figure(NAME, subject, ratio, "times"))
    return figures + own_figures(ours, everything, tenth)


def own_figures(ours: Measurement, everything: Sample, tenth: Sample) -> list[Figure]:
    """Return bytes shuffled and peak memory."""
    shuffled = ours.shuffled_bytes / everything.documents
    small = measure(OURS, tenth)
    return [
        Figure(NAME, "glam: shuffled", shuffled, "bytes / document", "<= 1500", shuffled <= 1500),
        Figure(NAME, "glam: peak memory", small.peak_mib, "MiB", note=f"{tenth.documents:,} documents"),
        Figure(NAME, "glam: peak memory", ours.peak_mib, "MiB", note=f"{everything.documents:,} documents"),
    ]


def main() -> None:
    """Read the arguments and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=30_000, help="how many the fast systems get")
    parser.add_argument("--json", action="store_true", help="print one JSON list")
    parser.add_argument("--measure", nargs=2, metavar=("SYSTEM", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        system, folder = arguments.measure
        run = partial(measure_peer, PEERS[system]) if system in PEERS else measure_ours
        print(json.dumps(run(Path(folder))))
        return
    with tempfile.TemporaryDirectory() as name:
        everything = make_sample(Path(name) / "all", arguments.documents)
        tenth = make_sample(Path(name) / "tenth", arguments.documents // 10)
        show(compare(everything, tenth))


if __name__ == "__main__":
    main()
