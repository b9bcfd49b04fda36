"""WARC files to a dataset version of TFRecord shards, everything in it, through Beam on one process.

    python benchmarks/warc_to_tfrecord.py [--pages 10000] [--json]

The pages are those of web_pages.py, none a duplicate of another, of all languages. A build extracts them, looks for
near-duplicates, holds out, encodes (SentencePiece, 16,384 pieces), scores, samples by quality, counts everything once
more, packs sequences of 1,024 tokens and publishes. The tokenizer and the classifier are given: they are trained before
and not counted. CPU seconds are user and system time of a process of its own, after a build of a few pages that imports
everything; the seconds of each stage are those of its manifest.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from figures import Figure, show
from measuring import peak_mib, run_alone
from real_text import pages
from web_pages import write_pages

from pipelines.build import build
from pipelines.config import CorpusConfig
from pipelines.progress import SilentDisplay
from pipelines.store.cpu_time import cpu_seconds
from pipelines.store.hashing import KeyedHash, content_hash
from quality_filter.examples import document_examples
from quality_filter.settings import QualitySettings
from quality_filter.train import train_classifier
from tokenizer.settings import TokenizerSettings
from tokenizer.train import train_tokenizer

NAME = "warc_to_tfrecord"
GOAL = 200
WARM_UP_PAGES = 50
TOKENIZER = TokenizerSettings(vocabulary_size=16384)
TRAINING_PAGES = 2000


def train_models(folder: Path) -> None:
    """Write `tokenizer.model` and `classifier.model`, trained on real text whose classes mean nothing."""
    texts = list(dict.fromkeys(pages()))  # an example is a document of its own
    texts = texts[:: max(1, len(texts) // TRAINING_PAGES)]
    (folder / "tokenizer.model").write_bytes(train_tokenizer(texts, TOKENIZER))
    settings, order = QualitySettings(epochs=1), KeyedHash(1, "classifier")
    examples = [
        example
        for number, text in enumerate(texts)
        for example in document_examples(content_hash(text), "text", number % 2 == 0, text, settings, order)
    ]
    (folder / "classifier.model").write_bytes(train_classifier(examples, settings, order).to_bytes())


def web_config(warcs: Path, models: Path, shards: int) -> CorpusConfig:
    """Return the configuration of one source of pages and one version of their filtered part."""
    return CorpusConfig.model_validate(
        {
            "name": NAME,
            "sources": {"web": {"component": "web", "reader": "warc", "files": [str(warcs / "*.warc.gz")]}},
            "extract": {"shards": shards},
            "quality": {"model": str(models / "classifier.model"), "scored": ["web"]},
            "tokenizer": TOKENIZER.model_dump() | {"model": str(models / "tokenizer.model")},
            "pack": {"sequence_length": 1024, "shards": shards},
            "mixture": {"web": {"weight": 1}},
            "versions": {"filtered": {"web": "filtered"}},
        }
    )


def build_once(folder: Path, part: str, shards: int) -> dict[str, Any]:
    """Build the pages of a part of the folder into a store of its own; return what it took."""
    start = cpu_seconds()
    config = web_config(folder / part, folder, shards)
    made = build(config, str(folder / f"{part}-store"), [], SilentDisplay())
    seconds: dict[str, float] = {}
    for stage in made.stages:
        seconds[stage.stage] = seconds.get(stage.stage, 0.0) + stage.manifest["side"]["cpu_seconds"]
    return {
        "cpu_seconds": cpu_seconds() - start,
        "stages": seconds,
        "tokens": made.to_json()["tokens"]["web"],
        "peak_mib": peak_mib(),
    }


def measure(folder: Path, shards: int) -> dict[str, Any]:
    """Build a few pages, so that everything is imported, then all."""
    build_once(folder, "few", 1)
    return build_once(folder, "all", shards)


def figures_of(run: dict[str, Any], number: int) -> list[Figure]:
    """Return pages a CPU second of the whole, and each stage's seconds and share."""
    total = run["cpu_seconds"]
    rate, note = number / total, f"{number:,} pages, {run['tokens']:,} training tokens, {total:.0f} CPU s"
    figures = [Figure(NAME, "glam, whole build", rate, "pages / CPU s", f">= {GOAL}", rate >= GOAL, note)]
    stages = run["stages"] | {"publish, other": total - sum(run["stages"].values())}
    for stage, seconds in sorted(stages.items(), key=lambda item: -item[1]):
        speed = f"{number / seconds:,.0f} pages / CPU s" if seconds > 0 else ""
        figures.append(Figure(NAME, f"share of {stage}", 100 * seconds / total, "% of CPU s", note=speed))
    return [*figures, Figure(NAME, "peak memory", run["peak_mib"], "MiB")]


def main() -> None:
    """Read the arguments and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=10_000)
    parser.add_argument("--json", action="store_true", help="print one JSON list")
    parser.add_argument("--measure", nargs=2, metavar=("FOLDER", "SHARDS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        folder, shards = arguments.measure
        print(json.dumps(measure(Path(folder), int(shards))))
        return
    with tempfile.TemporaryDirectory() as name:
        train_models(Path(name))
        write_pages(Path(name) / "few", WARM_UP_PAGES)
        write_pages(Path(name) / "all", arguments.pages)
        shards = max(1, arguments.pages // 1000)
        show(figures_of(run_alone(__file__, "--measure", name, str(shards)), arguments.pages))


if __name__ == "__main__":
    main()
