"""Text to TFRecord shards of packed sequences, and bare SentencePiece on the same text, in one run.

    python benchmarks/tokenize_pack.py

Bare SentencePiece: `encode` to numpy arrays, nothing kept. Text to shard: encode, convert, pack into sequences of 1,024
tokens, write a shard with CRCs, index and sha256. By Beam: what a build does from documents to shards, the stages
`tokenize` and `pack` in one process: documents read from Parquet, tokens written and read again as decisions, grouped
by shard, packed, written and hashed. CPU seconds of the process; MB of UTF-8 text.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import sentencepiece
from figures import Figure, show
from real_text import pages

from pipelines.build import Build, build
from pipelines.config import load_corpus_config
from pipelines.progress import SilentDisplay
from pipelines.store.sequences import SequenceRecord, encode_sequence
from pipelines.store.tfrecord import ShardWriter
from tokenizer.encode import Encoder
from tokenizer.packing import pack
from tokenizer.settings import TokenizerSettings
from tokenizer.train import train_tokenizer

NAME = "tokenize_pack"
ROUNDS = 5
BATCH = 256
SEQUENCE_LENGTH = 1024
TRAINING_PAGES = 800
PAGES = 6000
SHARE = 0.9
UNIT = "MB / CPU s"
CONFIG = """
name = "benchmark"
[sources.text]
component = "text"
reader = "jsonl"
files = ["{folder}/text.jsonl"]
[select]
min_characters = 1
[tokenizer]
model = "{folder}/tokenizer.model"
[pack]
sequence_length = 1024
[mixture]
text.weight = 1.0
[versions]
all = {{}}
"""


def least_cpu_seconds(*functions: Callable[[], object]) -> list[float]:
    """Return the least CPU seconds of each function over a few rounds, in which they take turns."""
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(ROUNDS):
        for function, measured in zip(functions, seconds, strict=True):
            start = time.process_time()
            function()
            measured.append(time.process_time() - start)
    return [min(measured) for measured in seconds]


def write_shard(encoder: Encoder, batches: list[list[str]], url: str) -> None:
    """Encode texts and write them as one shard."""
    numbered = ((bytes(16), ids) for batch in batches for ids in encoder.encode_batch(batch))
    with ShardWriter(url) as writer:
        for sequence in pack(numbered, SEQUENCE_LENGTH, encoder.document_start_id, encoder.padding_id):
            writer.write(encode_sequence(SequenceRecord(*sequence)))


def run_jobs(documents: list[str], folder: Path) -> Build:
    """Build a version of the documents."""
    lines = (json.dumps({"text": text}) for text in documents)
    (folder / "text.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "corpus.toml").write_text(CONFIG.format(folder=folder), encoding="utf-8")
    return build(load_corpus_config(str(folder / "corpus.toml")), str(folder / "store"), [], SilentDisplay())


def figures(folder: Path) -> list[Figure]:
    """Run all and return the figures."""
    documents = pages()
    model = train_tokenizer(
        documents[:: max(1, len(documents) // TRAINING_PAGES)], TokenizerSettings(vocabulary_size=4096)
    )
    (folder / "tokenizer.model").write_bytes(model)
    documents = documents[:PAGES]
    batches = [documents[start : start + BATCH] for start in range(0, len(documents), BATCH)]
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    size = sum(len(text.encode()) for text in documents) / 1e6
    encoder = Encoder(model)
    bare, kernel = least_cpu_seconds(
        lambda: [processor.encode(batch, return_type="numpy") for batch in batches],
        lambda: write_shard(encoder, batches, str(folder / "part.tfrecord")),
    )
    made = run_jobs(documents, folder)
    seconds = dict.fromkeys(("tokenize", "pack"), 0.0)
    for stage in made.stages:
        if stage.stage in seconds:
            seconds[stage.stage] += stage.manifest["side"]["cpu_seconds"]
    encoded = made.encoded()["text"]
    rate = {name: encoded["bytes"] / 1e6 / seconds[name] for name in seconds}
    both = encoded["bytes"] / 1e6 / sum(seconds.values())
    goal = f">= {SHARE} of SentencePiece"
    note = f"{len(documents):,} pages, {size:.1f} MB, {encoded['bytes'] / encoded['tokens']:.2f} bytes a token"
    return [
        Figure(NAME, "bare SentencePiece", size / bare, UNIT, note=note),
        Figure(NAME, "text to shard", size / kernel, UNIT, goal, bare / kernel >= SHARE, f"ratio {bare / kernel:.2f}"),
        Figure(
            NAME, "stage tokenize, by Beam", rate["tokenize"], UNIT, note=f"ratio {rate['tokenize'] * bare / size:.2f}"
        ),
        Figure(NAME, "stages tokenize and pack", both, UNIT, note=f"ratio {both * bare / size:.2f}"),
    ]


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        show(figures(Path(folder)))


if __name__ == "__main__":
    main()
