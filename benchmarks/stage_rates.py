"""What every stage of a build takes for a byte of text: CPU time, bytes it keeps, bytes it sends between workers.

    python benchmarks/stage_rates.py [--pages 3000] [--json]

`glam plan` predicts from these figures what a corpus will take: `python benchmarks/stage_rates.py --json` is its
`--rates`, and configs/plan/rates.json is one such run. Stages are measured on web pages (web_pages.py) by two builds in
one process, of few pages and of many, so that what starting a job costs is told from what its text costs (where it
cannot be told, the whole counts as the text's); they are compared with made evaluation examples, 60 words of every
2,000. Readers are measured by the same builds (`warc`), on JSON lines of real text, and by extracting every source of
configs/demo.toml, or of configs/corpus.toml with $GLAM_CORPUS, alone. A byte is one of text (UTF-8) that comes into the
stage; a reader's is one that comes out of it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
from figures import Figure, show
from measuring import run_alone
from real_text import pages, texts
from warc_to_tfrecord import train_models, web_config
from web_pages import write_pages

from pipelines.build import build
from pipelines.config import CorpusConfig, Source, load_corpus_config
from pipelines.contamination.settings import DecontaminateSettings
from pipelines.planning.corpus import STAGES
from pipelines.progress import SilentDisplay
from pipelines.store.files import size_of
from pipelines.store.stages import FinishedStage

NAME = "stage_rates"
FEW_PAGES = 50
EXAMPLES, LINES = "examples.jsonl", "lines.jsonl.gz"
TOLD_APART = 0.25
"""The least share of a stage's CPU time that more pages must cost for its start to be told from them."""
CONFIGS = Path(__file__).parents[1] / "configs"


def measure_stages(folder: Path, part: str, shards: int) -> dict[str, dict[str, float]]:
    """Build a part of the pages; return, by stage, CPU seconds, bytes of text in, bytes kept and bytes sent."""
    sets = {"made": {"files": [str(folder / EXAMPLES)], "fields": ["text"]}}
    compared = {"decontaminate": DecontaminateSettings.model_validate({"sets": sets})}
    config = web_config(folder / part, folder, shards).model_copy(update=compared)
    made = build(config, str(folder / f"{part}-store"), [], SilentDisplay())
    text = sum(stage.summary["encoded"]["web"]["bytes"] for stage in made.stages if stage.stage == "tokenize")
    extracted = made.stages[0]
    found = {"extract": _extraction(extracted, extracted.manifest["side"]["cpu_seconds"])}
    for stage in made.stages[1:]:
        name = stage.stage.removesuffix("_heldout")
        if name in STAGES[1:]:  # pack includes pack_heldout
            comes_in = found["extract"]["text"] if name == "deduplicate" else text
            entry = found.setdefault(name, {"cpu": 0.0, "text": comes_in, "kept": 0.0, "sent": 0.0})
            entry["cpu"] += stage.manifest["side"]["cpu_seconds"]
            entry["kept"] += _bytes_kept(stage)
            entry["sent"] += stage.manifest["side"].get("shuffled_bytes", 0)
    packed = next(stage.summary["filtered"]["bytes"] for stage in made.stages if stage.stage == "pack")
    found["pack"] |= {"text": packed, "sent": found["pack"]["kept"]}  # tokens meet in their shard
    return found


def write_texts(folder: Path) -> None:
    """Write evaluation examples and JSON lines, both made of real text."""
    words = [word for text in texts() for word in text.split()]
    examples = (" ".join(words[start : start + 60]) for start in range(0, len(words), 2000))
    (folder / EXAMPLES).write_text(_json_lines(examples))
    (folder / LINES).write_bytes(gzip.compress(_json_lines(dict.fromkeys(pages())).encode(), mtime=0))


def _json_lines(of: Iterable[str]) -> str:
    return "".join(json.dumps({"text": text}) + "\n" for text in of)


def _bytes_kept(stage: FinishedStage) -> int:
    return sum(file["size"] for file in stage.manifest["files"])


def stage_figures(few: dict[str, Any], many: dict[str, Any]) -> Iterator[Figure]:
    """Return three or four figures a stage."""
    for name in sorted(set(many) - {"extract"}):
        more = _more(few, many, name)
        told = more["cpu"] > TOLD_APART * many[name]["cpu"]
        if not told:
            more = many[name]
        rate = more["text"] / 1e6 / more["cpu"]
        fixed = max(0.0, few[name]["cpu"] - few[name]["text"] / 1e6 / rate) if told else 0.0
        note = f"{more['text'] / 1e6:.1f} MB" + ("" if told else ", start included")
        yield Figure(NAME, f"{name}: speed", rate, "MB of text / CPU s", note=note)
        yield Figure(NAME, f"{name}: start", fixed, "CPU s a build")
        yield Figure(NAME, f"{name}: kept", more["kept"] / more["text"], "bytes a byte of text")
        yield Figure(NAME, f"{name}: sent", more["sent"] / more["text"], "bytes a byte of text")


def _more(few: dict[str, Any], many: dict[str, Any], name: str) -> dict[str, float]:
    return {key: many[name][key] - few[name][key] for key in many[name]}


def reader_config(folder: Path) -> CorpusConfig:
    """Return the configuration whose sources are read, and JSON lines of real text."""
    corpus = os.environ.get("GLAM_CORPUS")
    if corpus:
        config = load_corpus_config(str(CONFIGS / "corpus.toml"), [f"data={corpus}"])
    else:
        config = load_corpus_config(str(CONFIGS / "demo.toml"))
    source = Source(component=next(iter(config.mixture)), reader="jsonl", files=[str(folder / LINES)])
    return config.model_copy(update={"sources": {"made": source} | config.sources})


def measure_readers(folder: Path) -> dict[str, list[dict[str, float]]]:
    """Extract each source alone; return by reader CPU seconds, bytes of files, of text and of document shards."""
    config, found = reader_config(folder), {}
    extract_alone(config, "made", folder / "warm-up")  # imports everything
    for source, settings in config.sources.items():
        for stage in extract_alone(config, source, folder / "extracted"):
            measured = _extraction(stage, stage.manifest["side"]["cpu_seconds"])
            if measured["text"]:
                found.setdefault(settings.reader, []).append(measured)
    return found


def extract_alone(config: CorpusConfig, source: str, store: Path) -> list[FinishedStage]:
    """Extract one source; return its stage, or nothing where it has no files."""
    component = config.sources[source].component
    alone = config.model_copy(
        update={
            "sources": {source: config.sources[source]},
            "mixture": {component: config.mixture[component]},
            "versions": {},
            "quality": None,
            "decontaminate": None,
        }
    )
    return build(alone, str(store), [], SilentDisplay(), until="extract").stages


def _extraction(stage: FinishedStage, seconds: float) -> dict[str, float]:
    return {"cpu": seconds, "text": _text(stage), "raw": _raw(stage), "kept": _bytes_kept(stage)}


def reader_figures(found: dict[str, list[dict[str, float]]]) -> Iterator[Figure]:
    """Return three figures a reader, over all its sources."""
    for reader, sources in sorted(found.items()):
        total = {key: sum(source[key] for source in sources) for key in sources[0]}
        note = f"{total['text'] / 1e6:.1f} MB of {len(sources)} sources"
        yield Figure(
            NAME, f"extract {reader}: speed", total["text"] / 1e6 / total["cpu"], "MB of text / CPU s", note=note
        )
        yield Figure(NAME, f"extract {reader}: raw", total["raw"] / total["text"], "bytes a byte of text")
        yield Figure(NAME, f"extract {reader}: kept", total["kept"] / total["text"], "bytes a byte of text")
        yield Figure(NAME, f"extract {reader}: sent", total["kept"] / total["text"], "bytes a byte of text")


def _text(stage: FinishedStage) -> int:
    """Return the bytes of text of all documents."""
    tables = (pq.read_table(url, columns=["text_bytes"]) for url in stage.urls("documents/"))
    return sum(pc.sum(table["text_bytes"]).as_py() or 0 for table in tables)


def _raw(stage: FinishedStage) -> int:
    """Return the bytes of the input files, compressed as they are."""
    return sum(size_of(file["path"]) for file in stage.manifest["side"]["input_files"])


def main() -> None:
    """Read the arguments and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=3000)
    parser.add_argument("--json", action="store_true", help="print one JSON list")
    parser.add_argument("--stages", nargs=2, metavar=("FOLDER", "SHARDS"), help=argparse.SUPPRESS)
    parser.add_argument("--readers", metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stages:
        folder, shards = Path(arguments.stages[0]), int(arguments.stages[1])
        build(web_config(folder / "few", folder, 1), str(folder / "first-store"), [], SilentDisplay())  # imports all
        print(json.dumps({part: measure_stages(folder, part, n) for part, n in (("few", 1), ("many", shards))}))
        return
    if arguments.readers:
        print(json.dumps(measure_readers(Path(arguments.readers))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train_models(folder)
        write_texts(folder)
        write_pages(folder / "few", FEW_PAGES)
        write_pages(folder / "many", arguments.pages)
        measured = run_alone(__file__, "--stages", name, str(max(1, arguments.pages // 1000)))
        readers = run_alone(__file__, "--readers", name)
        readers.setdefault("warc", []).append(_more(measured["few"], measured["many"], "extract"))
        show([*stage_figures(**measured), *reader_figures(readers)])


if __name__ == "__main__":
    main()
