"""CPU seconds of an answer of `glam explain` and `glam trace` about the demo, each in a process of its own.

    python benchmarks/answers.py [--store STORE] [--json]

Asked are, of the demo's version `filtered`: a document of every source and verdict, by its id, the place of its record
(FILE:OFFSET) or its URL in turn; the record that gave the most documents, one that gave none of each source; the first,
the middle and the last update of a run of configs/training/demo.toml; and a record. STORE holds the demo's corpus;
without it that is built first. CPU seconds are user and system time of the process, imports included; the figure is
the slowest answer.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from figures import Figure, show

from pipelines.build import build
from pipelines.config import load_corpus_config
from pipelines.documents import read_table
from pipelines.lookup import VersionDocuments
from pipelines.progress import SilentDisplay
from pipelines.store.versions import Version, find_version
from pipelines.verdicts import Verdicts
from trainer.config import load_training_config
from trainer.run_folder import open_run

NAME = "answers"
GOAL = 5
VERSION = "filtered"
CONFIGS = Path(__file__).parents[1] / "configs"


def documents_asked_for(documents: VersionDocuments) -> Iterator[str]:
    """Yield the name of a document of every source and verdict: its id, the place of its record, its URL or native key,
    in turn.
    """
    seen: set[tuple[str, str]] = set()
    for source, shard in documents.shards():
        for judged in Verdicts(documents).read(source, shard, ("url", "native_key")):
            rows = zip(*(judged.columns[name].to_pylist() for name in ("id", "url", "native_key")), strict=True)
            for verdict, (identifier, url, native_key) in zip(judged.verdicts.to_pylist(), rows, strict=True):
                if (source, verdict) in seen:
                    continue
                (place,) = documents.find(identifier.hex())
                copy = documents.provenance(place)[0]
                names = (identifier.hex(), f"{copy['file']}:{copy['offset']}", url or native_key or identifier.hex())
                yield names[len(seen) % len(names)]
                seen.add((source, verdict))


def records_asked_for(documents: VersionDocuments) -> Iterator[str]:
    """Yield the place of the record that gave the most documents, and of one that gave none of each source that has
    one.
    """
    given: Counter[tuple[str, int]] = Counter()
    for stage in documents.sources.values():
        side = {file["path"]: file["rows"] for file in stage.manifest["side"]["files"] if file.get("rows")}
        for path in side:
            if path.startswith("provenance/"):
                given.update((row["file"], row["offset"]) for row in read_table(f"{stage.url}/{path}").to_pylist())
        if left_out := [path for path in side if path.startswith("left_out/")]:
            row = read_table(f"{stage.url}/{left_out[0]}").to_pylist()[0]
            yield f"{row['file']}:{row['offset']}"
    ((file, offset), _), *_ = given.most_common(1)
    yield f"{file}:{offset}"


def cpu_seconds(*arguments: str) -> float:
    """Run `glam` as a process of its own; return its CPU seconds."""
    process = subprocess.Popen([sys.executable, "-m", "glam", *arguments], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if process_failed := os.waitstatus_to_exitcode(status):
        raise SystemExit(f"glam {' '.join(arguments)} ended with {process_failed}")
    return used.ru_utime + used.ru_stime


def slowest(subject: str, asked: list[tuple[str, ...]], store: str) -> Figure:
    """Ask everything once; return the figure of the slowest answer."""
    seconds = {arguments: cpu_seconds(*arguments, "--store", store) for arguments in asked}
    worst = max(seconds, key=lambda arguments: seconds[arguments])
    note = f"{len(asked)} asked, {sum(seconds.values()) / len(asked):.2f} on average; slowest: glam {' '.join(worst)}"
    return Figure(NAME, subject, seconds[worst], "CPU s", f"<= {GOAL}", seconds[worst] <= GOAL, note)


def steps_asked_for(version: Version, folder: str) -> list[tuple[str, ...]]:
    """Open a run of the demo's training in a folder; return the questions about its first, middle and last update."""
    config = load_training_config(str(CONFIGS / "training" / "demo.toml"))
    open_run(folder, version, config.resolved(version.sequence_length, "cpu"), 0)
    steps = config.training.steps
    return [("trace", folder, "--step", str(step)) for step in (1, steps // 2, steps)]


def main() -> None:
    """Ask everything and print the figures."""
    parser = argparse.ArgumentParser(description="Measure the answers of glam explain and glam trace about the demo.")
    parser.add_argument("--store", help="a store that holds the demo's corpus; it is built otherwise")
    parser.add_argument("--json", action="store_true", help="one JSON list on the last line of stdout")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        store = arguments.store or str(Path(name, "store"))
        if not arguments.store:
            build(load_corpus_config(str(CONFIGS / "demo.toml")), store, [], SilentDisplay())
        version = find_version(store, VERSION)
        documents = VersionDocuments(store, version)
        asked = dict.fromkeys([*documents_asked_for(documents), *records_asked_for(documents)])
        explained = [("explain", VERSION, document) for document in asked]
        traced = steps_asked_for(version, str(Path(name, "run")))
        shard = version.manifest["components"]["web"]["shards"][0]
        traced.append(("trace", VERSION, "--shard", shard, "--record", "3"))
        figures = [slowest("glam explain", explained, store), slowest("glam trace", traced, store)]
    show(figures, ["--json"] if arguments.json else [])


if __name__ == "__main__":
    main()
