"""Train the quality classifier: curated text against other web pages, once for every fold, so that no model scores
what it learned from.

Positives and negatives are declared by source and host; a document that fits both is a positive. A document's fold is
hash(seed, `fold`, key) mod folds, and model k learns from the training documents of all other folds. The key is the
host for pages of scored components, so that no page is scored by a model that knows other pages of its site, and the
id for all other documents. Held-out documents were seen by no model: the figures are theirs. Where the configuration
names an existing model, that one is taken instead, as the only fold's: what it was trained on it scores like anything
else.

In: documents, `training`. Out: `models/fold-K.model`; beside the id: the samples. Alone: `python -m
pipelines.classifier --config FILE --store DIR`.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.collect import SAMPLE_SCHEMA, Rule, collect_texts
from pipelines.config import Quality, Selector
from pipelines.corpus import Corpus
from pipelines.documents import read_table
from pipelines.folds import ClassifierError, Folds, model_path, read_classifier
from pipelines.progress import Display
from pipelines.store.files import digest_file, write_bytes
from pipelines.store.hashing import KeyedHash
from pipelines.store.stages import FinishedStage, OpenStage, StageKey, StoredFile
from quality_filter.classifier import LinearClassifier
from quality_filter.evaluation import SCORE_UNITS, auc, count_scores, precision_at, reliability
from quality_filter.examples import Example, document_examples
from quality_filter.settings import QualitySettings
from quality_filter.train import Progress, train_classifier

POSITIVE, NEGATIVE = "positive", "negative"
CHARACTERS_PER_DOCUMENT = 200_000


def scored_sources(corpus: Corpus) -> list[str]:
    """Return the sources of the scored components, in order of name."""
    quality = corpus.config.quality
    return sorted(source for component in quality.scored for source in corpus.sources_of(component)) if quality else []


def run(corpus: Corpus) -> FinishedStage:
    """Train the models, or take the existing one that the configuration names, unless that is finished.

    Raises:
        ClassifierError: when a class has no documents, or the existing model is missing or damaged.
    """
    quality = corpus.config.quality
    assert quality is not None, "build runs this job only where quality is configured"
    rules = _rules(quality, corpus.documents)
    key = _key(corpus, quality, rules)
    done = corpus.store.finished(key)
    if done is not None:
        return done
    stage = corpus.store.begin(key)
    files = [
        collect_texts(corpus, stage, "classifier", rules, max_characters=CHARACTERS_PER_DOCUMENT, split=split)
        for split in (("train", "heldout") if rules else ())
    ]
    samples = [read_table(stage.path(file.path)) for file in files] or [SAMPLE_SCHEMA.empty_table()] * 2
    models = _train(corpus, stage, quality, samples[0]) if quality.model is None else [_take(stage, quality.model)]
    classifiers = [LinearClassifier.from_bytes(model) for _, model in models]
    folds = Folds(corpus.config.seed, len(models))
    figures = [_figures(sample, classifiers, folds.of_sample(sample, scored_sources(corpus))) for sample in samples]
    summary = {
        "folds": len(models),
        "documents": {label: samples[0].column("label").to_pylist().count(label) for label in (POSITIVE, NEGATIVE)},
        "heldout": figures[1],
        "cross_fitted": {} if quality.model else figures[0],
    }
    return stage.finish([file for file, _ in models], summary=summary, side_files=files)


def _key(corpus: Corpus, quality: Quality, rules: Mapping[str, list[Rule]]) -> StageKey:
    recipe = {"seed": corpus.config.seed, **quality.model_dump(include={"positives", "negatives", "classifier"})}
    recipe["scored_sources"] = scored_sources(corpus)
    inputs: dict[str, Any] = corpus.inputs("training", sources=rules)
    if quality.model is not None:
        try:
            inputs |= {"model": [digest_file(quality.model).sha256]}
        except OSError as error:
            raise ClassifierError(
                f"quality.model: {quality.model} cannot be read ({error.strerror or error}); "
                "give the file that `glam quality train` wrote"
            ) from error
    return StageKey("classifier", recipe, inputs, ("pipelines.classifier",), ("fasttext", "numpy", "pyarrow"))


def _take(stage: OpenStage, model_file: str) -> tuple[StoredFile, bytes]:
    """Put an existing model in the place of the one fold's."""
    model = read_classifier(model_file).to_bytes()
    path = model_path(0)
    return StoredFile.of(path, write_bytes(stage.path(path), model)), model


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
    fold = Folds(corpus.config.seed, count).of_sample(table, scored_sources(corpus))
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


def _figures(table: pa.Table, classifiers: list[LinearClassifier], fold: np.ndarray) -> dict[str, Any]:
    """Return AUC, precision and reliability of documents, each scored by the model of its fold."""
    scores = score_by_fold(classifiers, table.column("text").combine_chunks(), fold)
    return class_figures(scores, pc.equal(table.column("label"), POSITIVE).to_numpy())


def class_figures(scores: np.ndarray, positive: np.ndarray) -> dict[str, Any]:
    """Return AUC, precision and reliability of scores (in 1/65,536) whose class is known (bool)."""
    figures: dict[str, Any] = {"positives": int(positive.sum()), "negatives": int((~positive).sum())}
    if positive.all() or not positive.any():
        return figures
    classes = count_scores(scores[positive]), count_scores(scores[~positive])
    thresholds = [SCORE_UNITS * tenth // 10 for tenth in range(1, 10)]
    return figures | {
        "auc": rounded(auc(*classes)),
        "precision": [
            {"score": row.score, "precision": rounded(row.precision), "recall": rounded(row.recall)}
            for row in precision_at(*classes, thresholds)
        ],
        "reliability": [
            {
                "low": row.low,
                "high": row.high,
                "documents": row.documents,
                "mean_probability": rounded(row.mean_probability),
                "positive_share": rounded(row.positive_share),
            }
            for row in reliability(*classes)
        ],
    }


def rounded(figure: Fraction | None) -> float | None:
    """Return an exact figure as a float of six places."""
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
