"""Scoring a shard of documents with the collapsed classifier and with fastText's own predict, in one run.

    python benchmarks/quality_scoring.py [--json]

Both read the same Parquet shard and write a column of scores; CPU seconds, the least of a few rounds by turns. In each
round the collapsed classifier is one just loaded, so it has met none of the words before. Both classifiers are one
training: once with the demo's settings, once with fastText's usual ones. Prints documents a CPU second, the ratio, the
largest difference of the two probabilities and how many documents fall on another side of one half.

A classifier is fast once it has met the words of a language, so the goal is for as many pages as a worker scores at
least (GLAM_CORPUS has them); on the two thousand pages of the demo the ratio is told without one.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from figures import Figure, show
from real_text import pages, texts

from quality_filter.classifier import SCORE_UNITS, LinearClassifier
from quality_filter.collapse import POSITIVE_LABEL
from quality_filter.examples import Example, document_examples
from quality_filter.features import normalize
from quality_filter.settings import QualitySettings
from quality_filter.train import train_classifier

BENCHMARK = "quality_scoring"
ROUNDS = 8
LEAST_RATIO = 3.0
LEAST_PAGES = 5_000


def order(key: bytes) -> int:
    """Order examples by their own hash."""
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")


def train(folder: Path, dimension: int, buckets: int) -> LinearClassifier:
    """Train on real texts, every other one called positive, until their pages have scores of all sizes."""
    settings = QualitySettings(
        dimension=dimension, buckets=buckets, epochs=4, pieces_per_document=200, positives_per_source=20_000
    )
    examples: list[Example] = []
    for number, text in enumerate(texts()):
        examples += document_examples(number.to_bytes(16, "big"), "text", number % 2 == 0, text, settings, order)
    return train_classifier(examples, settings, order, fasttext_model=folder / "model.bin")


def run(shard: Path, score: Callable[[pa.Array], np.ndarray]) -> float:
    """Return the CPU seconds of reading, scoring and writing a shard."""
    start = time.process_time()
    with pq.ParquetFile(shard) as file:
        scores = [score(batch.column("text")) for batch in file.iter_batches(1024, use_threads=False)]
    pq.write_table(pa.table({"score": np.concatenate(scores)}), shard.with_suffix(".scores"), compression="zstd")
    return time.process_time() - start


def predict(model: Any, lines: list[str]) -> np.ndarray:
    """Return fastText's probability of the positive class."""
    labels, probabilities = model.predict(lines, k=2)
    return np.array([p[names.index(POSITIVE_LABEL)] for names, p in zip(labels, probabilities, strict=True)])


def compare(dimension: int, buckets: int) -> Iterator[Figure]:
    """Train one classifier, score with both, yield the figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        classifier = train(folder, dimension, buckets)
        model = fasttext.load_model(str(folder / "model.bin"))
        documents = pages()
        shard = folder / "shard.parquet"
        pq.write_table(pa.table({"text": documents}), shard, compression="zstd", row_group_size=1024)

        def peer(batch: pa.Array) -> np.ndarray:
            return predict(model, [text.lower().replace("\n", " ") for text in batch.to_pylist()])

        data = classifier.to_bytes()
        rounds = [(run(shard, LinearClassifier.from_bytes(data).score_batch), run(shard, peer)) for _ in range(ROUNDS)]
        ours, theirs = (min(seconds) for seconds in zip(*rounds, strict=True))
        scores = classifier.score_batch(documents)
        expected = predict(model, [normalize(text) for text in documents])
    note = f"dimension {dimension}, {buckets:,} buckets, {classifier.training['words']:,} words"
    label = f"at dimension {dimension}"
    unit = "documents / CPU s"
    yield Figure(BENCHMARK, f"fastText predict {label}", len(documents) / theirs, unit, note=note)
    yield Figure(BENCHMARK, f"collapsed {label}", len(documents) / ours, unit, note=note)
    ratio = theirs / ours
    enough = len(documents) >= LEAST_PAGES
    yield Figure(
        BENCHMARK,
        f"ratio {label}",
        ratio,
        "x",
        goal=f">= {LEAST_RATIO:g} x fastText predict" if enough else None,
        holds=ratio >= LEAST_RATIO if enough else None,
        note="" if enough else f"{len(documents):,} pages; the goal is for {LEAST_PAGES:,} or more: set GLAM_CORPUS",
    )
    difference = float(np.abs(expected - (scores + 0.5) / SCORE_UNITS).max())
    yield Figure(
        BENCHMARK, f"largest difference {label}", difference, "probability", "<= 1e-3", holds=difference <= 1e-3
    )
    # Within the rounding of the score and the 10^-5 that fastText adds itself, neither side is the right one.
    told = np.abs(expected - 0.5) > 5e-5
    others = int(((scores >= SCORE_UNITS // 2) != (expected >= 0.5))[told].sum())
    note = f"of {len(documents):,}; {int((~told).sum())} within 5e-5 of one half left out"
    yield Figure(BENCHMARK, f"other decisions {label}", others, "documents", "0", holds=others == 0, note=note)


if __name__ == "__main__":
    # The settings of the demo, and fastText's own defaults.
    show([*compare(32, 1 << 18), *compare(100, 1 << 21)])
