"""The process that trains one fastText model: `python -m quality_filter.train_process JOB.json`.

In: a job file {examples: path of fastText lines, classifier: path to write, fasttext_model: path or null, settings,
training}. Out: the collapsed classifier, and fastText's own model when asked. Started by quality_filter.train, which
sets the environment that makes its result repeatable; run by itself without it, it may give other weights.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import fasttext

from quality_filter.collapse import collapse
from quality_filter.settings import QualitySettings


def main(job_path: str) -> None:
    """Train, collapse, write."""
    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    settings = QualitySettings(**job["settings"])
    try:
        model = _train(job["examples"], settings)
    except RuntimeError as error:  # fastText's own, of numbers that have left float32
        sys.exit(f"fastText: {error}; lower learning_rate ({settings.learning_rate:g}), or raise dimension or buckets")
    if job["fasttext_model"] is not None:
        model.save_model(job["fasttext_model"])
    Path(job["classifier"]).write_bytes(collapse(model, job["training"]).to_bytes())


def _train(examples: str, settings: QualitySettings) -> Any:
    return fasttext.train_supervised(
        examples,
        dim=settings.dimension,
        epoch=settings.epochs,
        lr=settings.learning_rate,
        wordNgrams=settings.word_ngrams,
        bucket=settings.buckets,
        minCount=settings.min_count,
        seed=settings.seed,
        loss="softmax",
        thread=1,
        verbose=0,
    )


if __name__ == "__main__":
    main(sys.argv[1])
