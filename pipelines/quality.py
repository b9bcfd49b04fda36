"""Score: the quality of every document of the scored components, by the model of its fold, as an integer in 1/65,536.

In: documents, `deduplicate`, the models. Out: decisions {score, fold}. Alone: `python -m pipelines.quality --config
FILE --store DIR`.
"""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import numpy as np

from pipelines.classifier import score_by_fold
from pipelines.contamination.cuts import trained_texts
from pipelines.corpus import Corpus, DecideShard, run_decision_stage
from pipelines.documents import ids_of
from pipelines.folds import Folds, host_of, model_path
from pipelines.store.files import read_bytes
from pipelines.store.stages import FinishedStage, StageKey
from quality_filter.classifier import LinearClassifier
from quality_filter.evaluation import count_scores, histogram_by_source

HISTOGRAM_BINS = 20


class _Score(DecideShard):
    """Scores the documents of the scored components that stay."""

    job = "quality"
    columns = ("url", "text")
    decision_columns = {"deduplicate": ("reason",)}  # noqa: RUF012 - a constant of the class

    def __init__(self, seed: int, components: list[str], model_urls: list[str], cut: bool) -> None:
        self._seed, self._components, self._model_urls = seed, frozenset(components), model_urls
        if cut:
            self.decision_columns = {**self.decision_columns, "training": ("spans",)}

    def setup(self) -> None:
        """Load the models once a worker."""
        self._classifiers = [LinearClassifier.from_bytes(read_bytes(url)) for url in self._model_urls]
        self._folds = Folds(self._seed, len(self._classifiers))

    def begin(self, work: dict[str, Any]) -> None:
        """Start a shard's histogram."""
        super().begin(work)
        self._histogram = np.zeros(HISTOGRAM_BINS, np.int64)

    def figures(self) -> dict[str, Any]:
        """Return the shard's histogram of scores."""
        return {"histogram": self._histogram.tolist()}

    def decide(self, batch: dict[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
        """Return scores and folds of a batch."""
        count = len(batch["id"])
        if self.work["component"] not in self._components:
            return {"score": [None] * count, "fold": [None] * count}, {}
        stays = batch["deduplicate.reason"].is_null()
        rows = np.flatnonzero(stays.to_numpy(zero_copy_only=False))
        hosts = map(host_of, batch["url"].filter(stays).to_pylist())
        fold = self._folds.of(ids_of(batch["id"])[rows], hosts)
        scores = score_by_fold(self._classifiers, trained_texts(batch).filter(stays), fold)
        self._histogram += np.array(histogram_by_source({"": count_scores(scores)}, HISTOGRAM_BINS)[""])
        columns: dict[str, list[Any]] = {"score": [None] * count, "fold": [None] * count}
        for row, score, number in zip(rows.tolist(), scores.tolist(), fold.tolist(), strict=True):
            columns["score"][row], columns["fold"][row] = score, number
        return columns, {"in": len(rows), "out": len(rows)}


def run(corpus: Corpus, classifier: FinishedStage) -> FinishedStage:
    """Score the corpus with finished models, unless that is finished."""
    quality = corpus.config.quality
    assert quality is not None, "build runs this job only where quality is configured"
    folds = classifier.summary["folds"]
    components = sorted(quality.scored)
    recipe = {"seed": corpus.config.seed, "folds": folds, "components": components}
    cut = "spans" in corpus.training_columns
    jobs = ["deduplicate", "training"] if cut else ["deduplicate"]
    inputs = corpus.inputs(*jobs) | {"classifier": classifier.output_id}
    key = StageKey("quality", recipe, inputs, ("pipelines.quality",), ("numpy", "pyarrow"))
    models = [f"{classifier.url}/{model_path(fold)}" for fold in range(folds)]
    score = _Score(corpus.config.seed, components, models, cut)

    def summarize(results: list[dict[str, Any]]) -> dict[str, Any]:
        histogram: dict[str, np.ndarray] = {}
        for result in results:
            if corpus.config.sources[result["source"]].component in components:
                total = histogram.setdefault(result["source"], np.zeros(HISTOGRAM_BINS, np.int64))
                total += np.array(result["histogram"])
        heldout = classifier.summary["heldout"]
        figures = {name: heldout[name] for name in ("auc", "precision", "reliability") if name in heldout}
        return figures | {"folds": folds, "histogram": {source: h.tolist() for source, h in sorted(histogram.items())}}

    return run_decision_stage(
        corpus,
        key,
        lambda work: work | "Score" >> beam.ParDo(score),
        jobs=jobs,
        summarize=summarize,
    )


if __name__ == "__main__":
    from pipelines.job import main

    main("quality")
