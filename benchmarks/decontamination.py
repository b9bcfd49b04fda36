"""Comparing pages with evaluation sets: ours, the quality score of the same pages, and datatrove's n-gram filter.

    python benchmarks/decontamination.py [--json]

All read the same Parquet shard, search 13-grams of the same examples and write a column; CPU seconds, the least of a
few rounds. The examples are the sets of $GLAM_EVAL, else paragraphs of the text itself. datatrove gets the first pages
only and its own list of hashes, made before the clock starts. Prints documents and MB a CPU second and the memory of
the n-grams: mapped (shared by all processes of a machine) and held by each.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from figures import Figure, show
from quality_scoring import train
from real_text import pages, texts

from pipelines.contamination.evaluation_sets import Example, find_sets, read_examples
from pipelines.contamination.matching import NgramSet
from pipelines.contamination.ngrams import NgramWriter
from pipelines.contamination.settings import DecontaminateSettings
from pipelines.contamination.words import batches_of_words

BENCHMARK = "decontamination"
N = 13
ROUNDS = 3
PEER_PAGES = 1000
CONFIG = str(Path(__file__).resolve().parents[1] / "configs" / "corpus.toml")

Decide = Callable[[pa.Array], list[bool]]


def examples() -> dict[str, list[Example]]:
    """Return the examples of each task of $GLAM_EVAL, or made of the text: 60 words of every 2,000."""
    folder = os.environ.get("GLAM_EVAL")
    if not folder:
        words = [word for text in texts() for word in text.split()]
        made = [Example("text", line, " ".join(words[i : i + 60])) for line, i in enumerate(range(0, len(words), 2000))]
        return {"text": made}
    settings = DecontaminateSettings(folder=folder, sets_file="evaluation/sets.toml").with_sets_file(CONFIG)
    files = find_sets(settings)
    return {task: list(read_examples(task, urls, settings.sets[task].fields)) for task, urls in files.items()}


def seconds(shard: Path, decide: Callable[[pa.Array], Iterable[object]]) -> float:
    """Return the CPU seconds of reading a shard, deciding and writing a column, the least of a few rounds."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        with pq.ParquetFile(shard) as file:
            column = [decide(batch.column("text")) for batch in file.iter_batches(1024, use_threads=False)]
        table = pa.table({"decision": np.concatenate([np.asarray(part) for part in column])})
        pq.write_table(table, shard.with_suffix(".decisions"), compression="zstd")
        rounds.append(time.process_time() - start)
    return min(rounds)


def ours(ngrams: NgramSet) -> Decide:
    """Return what tells of each text whether an n-gram stands in it."""

    def decide(batch: pa.Array) -> list[bool]:
        dirty: list[bool] = []
        for _, words in batches_of_words(batch.cast(pa.large_string())):
            matches = np.zeros(len(words.offsets) - 1, np.bool_)
            matches[np.searchsorted(words.offsets, ngrams.find(words).words, "right") - 1] = True
            dirty += matches.tolist()
        return dirty

    return decide


def datatrove(folder: Path, tasks: dict[str, list[Example]]) -> Decide | None:
    """Return datatrove's filter over the same examples, or None where it is not installed."""
    if find_spec("datatrove") is None or find_spec("nltk") is None:
        return None
    from datatrove.data import Document
    from datatrove.pipeline.decont import NGramsDecontConfig, NGramsDecontFilter
    from datatrove.utils.text import ngrams, simplify_text

    config = NGramsDecontConfig(n_grams=N)
    step = NGramsDecontFilter(str(folder), config)
    words = (step.tokenizer.word_tokenize(simplify_text(e.text, config.norm_config)) for t in tasks.values() for e in t)
    hashes = {step.hash_func(" ".join(ngram)) for example in words for ngram in ngrams(example, N)}
    np.array(sorted(hashes), config.hash_config.np_descr).tofile(folder / "examples.index.hashes")
    step.load_index_hashes()
    return lambda batch: [step.filter(Document(text=text, id="")) is not True for text in batch.to_pylist()]


def measure(folder: Path) -> Iterator[Figure]:
    """Compare the same pages by each, and yield the figures."""
    documents, tasks = pages(), examples()
    mb = sum(len(text.encode()) for text in documents) / 1e6
    start = time.process_time()
    NgramWriter(str(folder / "set"), N).write(tasks)
    written = time.process_time() - start
    ngrams = NgramSet(str(folder / "set"))
    shard = folder / "pages.parquet"
    pq.write_table(pa.table({"text": documents}), shard, compression="zstd", row_group_size=1024)
    own = seconds(shard, ours(ngrams))
    scoring = seconds(shard, train(folder, 32, 1 << 18).score_batch)
    note = (
        f"{len(documents):,} pages, {mb:.1f} MB; {len(ngrams):,} n-grams of {sum(map(len, tasks.values())):,} examples"
    )
    unit = "documents / CPU s"
    yield Figure(BENCHMARK, "compared", len(documents) / own, unit, note=note)
    yield Figure(BENCHMARK, "compared", mb / own, "MB / CPU s")
    yield Figure(BENCHMARK, "scored", len(documents) / scoring, unit, note="the quality score, dimension 32")
    memory = ngrams.memory()
    yield Figure(BENCHMARK, "n-grams, mapped", memory["mapped"] / 1e6, "MB", note="once a machine")
    yield Figure(BENCHMARK, "n-grams, held", memory["held"] / 1e6, "MB", note="each process")
    yield Figure(BENCHMARK, "n-grams written in", written, "CPU s", note="once for all corpora")
    yield from against_datatrove(folder, tasks, documents[:PEER_PAGES], len(documents) / own)


def against_datatrove(
    folder: Path, tasks: dict[str, list[Example]], documents: list[str], own: float
) -> Iterator[Figure]:
    """Measure datatrove on some pages; `own` is our documents a CPU second."""
    index = folder / "datatrove"
    index.mkdir()
    peer = datatrove(index, tasks)
    if peer is None:
        yield Figure(BENCHMARK, "datatrove", 0.0, "documents / CPU s", note="not installed")
        return
    shard = folder / "peer.parquet"
    pq.write_table(pa.table({"text": documents}), shard, compression="zstd")
    theirs = len(documents) / seconds(shard, peer)
    yield Figure(BENCHMARK, "datatrove", theirs, "documents / CPU s", note=f"n-gram filter, {len(documents):,} pages")
    yield Figure(BENCHMARK, "ratio to datatrove", own / theirs, "x")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        show(measure(Path(name)))
