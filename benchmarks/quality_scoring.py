"""Scoring a shard of documents with the collapsed classifier and with fastText's own predict, in one run.

    python benchmarks/quality_scoring.py

Both read the same Parquet shard and write a column of scores. Prints CPU seconds, documents and MB a second, the ratio,
and the largest difference of the two probabilities.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import fasttext
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from real_text import pages, texts

from quality_filter.classifier import LinearClassifier
from quality_filter.collapse import POSITIVE_LABEL
from quality_filter.examples import Example, document_examples
from quality_filter.features import normalize
from quality_filter.settings import QualitySettings
from quality_filter.train import train_classifier

ROUNDS = 3


def order(key: bytes) -> int:
    """Order examples by their own hash."""
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")


def train(folder: Path, dimension: int, buckets: int) -> LinearClassifier:
    """Train on real text whose classes mean nothing: speed does not depend on what the weights say."""
    settings = QualitySettings(
        dimension=dimension, buckets=buckets, epochs=1, pieces_per_document=200, positives_per_source=20_000
    )
    examples: list[Example] = []
    for number, text in enumerate(texts()):
        examples += document_examples(number.to_bytes(16, "big"), "text", number % 2 == 0, text, settings, order)
    return train_classifier(examples, settings, order, fasttext_model=folder / "model.bin")


def run(shard: Path, score: Callable[[list[str]], np.ndarray]) -> tuple[float, np.ndarray]:
    """Return the least CPU seconds of a few rounds, and the scores."""
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        with pq.ParquetFile(shard) as file:
            scores = [score(batch.column("text").to_pylist()) for batch in file.iter_batches(1024, use_threads=False)]
        result = np.concatenate(scores)
        pq.write_table(pa.table({"score": result}), shard.with_suffix(".scores"), compression="zstd")
        seconds.append(time.process_time() - start)
    return min(seconds), result


def compare(dimension: int, buckets: int) -> None:
    """Run both and print the comparison."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        classifier = train(folder, dimension, buckets)
        model = fasttext.load_model(str(folder / "model.bin"))
        documents = pages()
        shard = folder / "shard.parquet"
        pq.write_table(pa.table({"text": documents}), shard, compression="zstd", row_group_size=1024)

        def predict(lines: list[str]) -> np.ndarray:
            labels, probabilities = model.predict(lines, k=2)
            return np.array([p[names.index(POSITIVE_LABEL)] for names, p in zip(labels, probabilities, strict=True)])

        def predict_raw(batch: list[str]) -> np.ndarray:
            return predict([text.lower().replace("\n", " ") for text in batch])

        ours, scores = run(shard, classifier.score_batch)
        theirs, _ = run(shard, predict_raw)
        size = sum(len(text.encode()) for text in documents) / 1e6
        print(
            f"dimension {dimension}, {buckets:,} buckets, {classifier.training['words']:,} words; {size:.1f} MB of text"
        )
        for label, seconds in (("fastText predict", theirs), ("collapsed", ours)):
            rate = f"{len(documents) / seconds:,.0f} documents/s {size / seconds:.1f} MB/s"
            print(f"{label:18s} {seconds:.3f} CPU s  {rate}")
        expected = predict([normalize(text) for text in documents])
        print(f"ratio {theirs / ours:.2f}; largest difference {np.abs(expected - (scores + 0.5) / 65536).max():.1e}")


if __name__ == "__main__":
    compare(32, 1 << 18)  # the settings of the demo
    compare(100, 1 << 21)  # fastText's own defaults
