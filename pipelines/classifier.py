"""Train the quality classifier: curated text against other web pages, once for every fold, so that no model scores
what it learned from.

Positives and negatives are declared by source and host; a document that fits both is a positive. A document's fold is
hash(seed, `fold`, id) mod folds, and model k learns from the training documents of all other folds. Held-out
documents were seen by no model: the figures are theirs.

In: documents, `training`. Out: `models/fold-K.model`; beside the id: the samples. Alone: `python -m
pipelines.classifier --config FILE --store DIR`.
"""

from __future__ import annotations

from collections.abc import Container
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.collect import Rule, collect_texts
from pipelines.config import Quality, Selector
from pipelines.corpus import Corpus
from pipelines.documents import ids_of, read_table
from pipelines.progress import Display
from pipelines.store.errors import GlamError
from pipelines.store.files import write_bytes
from pipelines.store.hashing import KeyedHash
from pipelines.store.stages import FinishedStage, OpenStage, StageKey, StoredFile
from quality_filter.classifier import LinearClassifier
from quality_filter.evaluation import SCORE_UNITS, auc, count_scores, precision_at, reliability
from quality_filter.examples import Example, document_examples
from quality_filter.settings import QualitySettings
from quality_filter.train import Progress, train_classifier

POSITIVE, NEGATIVE = "positive", "negative"
CHARACTERS_PER_DOCUMENT = 200_000


class ClassifierError(GlamError):
    """There is nothing to learn from; the message names the class and the remedy."""


def model_path(fold: int) -> str:
    """Return the path of a fold's model in its stage."""
    return f"models/fold-{fold:02d}.model"


class Folds:
    """The fold of a document: whose model scores it."""

    def __init__(self, seed: int, folds: int) -> None:
        self._draw, self._folds = KeyedHash(seed, "fold"), folds

    def of(self, ids: np.ndarray) -> np.ndarray:
        """Return the fold, in [0, folds), of each id (dtype V16)."""
        return np.array([self._draw(bytes(identifier)) % self._folds for identifier in ids], np.int8)


def run(corpus: Corpus) -> FinishedStage:
    """Train the models, unless that is finished.

    Raises:
        ClassifierError: when a class has no documents.
    """
    quality = corpus.config.quality
    assert quality is not None, "build runs this job only where quality is configured"
    rules = _rules(quality, corpus.documents)
    recipe = {"seed": corpus.config.seed, **quality.model_dump(include={"positives", "negatives", "classifier"})}
    packages = ("fasttext", "numpy", "pyarrow")
    key = StageKey("classifier", recipe, corpus.inputs("training", sources=rules), ("pipelines.classifier",), packages)
    done = corpus.store.finished(key)
    if done is not None:
        return done
    stage = corpus.store.begin(key)
    files = [
        collect_texts(corpus, stage, "classifier", rules, max_characters=CHARACTERS_PER_DOCUMENT, split=split)
        for split in ("train", "heldout")
    ]
    train, heldout = (read_table(stage.path(file.path)) for file in files)
    models = _train(corpus, stage, quality, train)
    classifiers = [LinearClassifier.from_bytes(model) for _, model in models]
    folds = Folds(corpus.config.seed, quality.classifier.folds)
    summary = {
        "folds": quality.classifier.folds,
        "documents": {label: train.column("label").to_pylist().count(label) for label in (POSITIVE, NEGATIVE)},
        "heldout": _figures(heldout, classifiers, folds),
        "cross_fitted": _figures(train, classifiers, folds),
    }
    return stage.finish([file for file, _ in models], summary=summary, side_files=files)


def _rules(quality: Quality, present: Container[str]) -> dict[str, list[Rule]]:
    settings = quality.classifier
    rules: dict[str, list[Rule]] = {}

    def add(label: str, selectors: list[Selector], quota: int) -> None:
        for selector in selectors:
            for source in filter(present.__contains__, selector.sources):
                rules.setdefault(source, []).append(Rule(label, tuple(selector.hosts), quota, "documents"))

    add(POSITIVE, quality.positives, settings.positives_per_source)
    add(NEGATIVE, quality.negatives, settings.negatives_per_source)
    return rules


def _examples(table: pa.Table, settings: QualitySettings, order: KeyedHash) -> list[Example]:
    """Cut the documents of a sample into training examples."""
    columns = (table.column(name).to_pylist() for name in ("id", "source", "label", "text"))
    return [
        example
        for identifier, source, label, text in zip(*columns, strict=True)
        for example in document_examples(identifier, source, label == POSITIVE, text, settings, order)
    ]


def _train(corpus: Corpus, stage: OpenStage, quality: Quality, table: pa.Table) -> list[tuple[StoredFile, bytes]]:
    """Train a model a fold; return the written files and their bytes."""
    count = quality.classifier.folds
    order = KeyedHash(corpus.config.seed, "classifier")
    fold = Folds(corpus.config.seed, count).of(ids_of(table.column("id").combine_chunks()))
    display = corpus.engine.display
    display.start("train classifier", count, "models")
    models = []
    for number in range(count):
        others = table.filter(pa.array(fold != number))
        for label in (POSITIVE, NEGATIVE):
            if label not in others.column("label").to_pylist():
                raise ClassifierError(
                    f"quality.{label}s: no training document of the selected sources and hosts is left; name other "
                    "sources or hosts, or lower select.min_characters"
                )
        examples = _examples(others, quality.classifier, order)
        training = _train_one(examples, quality.classifier, order, progress=partial(_show, display, number))
        model = training.to_bytes()
        path = model_path(number)
        models.append((StoredFile.of(path, write_bytes(stage.path(path), model)), model))
    display.finish()
    return models


def _train_one(
    examples: list[Example], settings: QualitySettings, order: KeyedHash, progress: Progress
) -> LinearClassifier:
    try:
        return train_classifier(examples, settings, order, progress=progress)
    except (ValueError, RuntimeError) as error:
        raise ClassifierError(f"quality: {error}") from error


def _show(display: Display, finished: int, share: float) -> None:
    display.move(finished + share)


def _figures(table: pa.Table, classifiers: list[LinearClassifier], folds: Folds) -> dict[str, Any]:
    """Return AUC, precision and reliability of documents, each scored by the model of its fold."""
    fold = folds.of(ids_of(table.column("id").combine_chunks()))
    scores = score_by_fold(classifiers, table.column("text").combine_chunks(), fold)
    positive = pa.compute.equal(table.column("label"), POSITIVE).to_numpy()
    figures: dict[str, Any] = {"positives": int(positive.sum()), "negatives": int((~positive).sum())}
    if positive.all() or not positive.any():
        return figures
    classes = count_scores(scores[positive]), count_scores(scores[~positive])
    thresholds = [SCORE_UNITS * tenth // 10 for tenth in range(1, 10)]
    return figures | {
        "auc": _rounded(auc(*classes)),
        "precision": [
            {"score": row.score, "precision": _rounded(row.precision), "recall": _rounded(row.recall)}
            for row in precision_at(*classes, thresholds)
        ],
        "reliability": [
            {
                "low": row.low,
                "high": row.high,
                "documents": row.documents,
                "mean_probability": _rounded(row.mean_probability),
                "positive_share": _rounded(row.positive_share),
            }
            for row in reliability(*classes)
        ],
    }


def _rounded(figure: Fraction | None) -> float | None:
    return None if figure is None else round(float(figure), 6)


def score_by_fold(classifiers: list[LinearClassifier], texts: pa.Array, fold: np.ndarray) -> np.ndarray:
    """Return the score (in 1/65,536) of each text by the model of its fold."""
    scores = np.zeros(len(texts), np.int32)
    for number in np.unique(fold).tolist():
        rows = np.flatnonzero(fold == number)
        scores[rows] = classifiers[number].score_batch(texts.take(pa.array(rows)))
    return scores


if __name__ == "__main__":
    from pipelines.job import main

    main("classifier")
