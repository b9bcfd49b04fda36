"""Pareto sampling of scored documents: high scores mostly stay, some low ones do too (GPT-3, appendix A; GLaM,
section 3).

A document stays if draw < T[s]: draw the keyed hash of its id, s its score or the rank quantile of its score among
the training documents of its component, in 1/65,536. Ranks are exact: documents are ordered by (score, id).

In: documents, `training` (hold-out or decontamination), `quality`. Out: decisions {rank, draw, keep}, the table T.
Alone: `python
-m pipelines.sample --config FILE --store DIR`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.corpus import Corpus, run_decision_stage, write_decision
from pipelines.documents import DECISION_SCHEMAS, THRESHOLDS_PATH, ids_of, read_batches
from pipelines.job_progress import report
from pipelines.ranking import ITEM, RankItems, pack_items, places_by_id
from pipelines.store.files import write_bytes
from pipelines.store.hashing import KeyedHash
from pipelines.store.stages import FinishedStage, StageKey, StoredFile
from quality_filter.sampling import SCORE_UNITS, ParetoTable, rank_quantile

SAMPLES_SHOWN = 12
SNIPPET_CHARACTERS = 400


def _scored(work: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each batch's `ids`, `scores` and `stays` (a training document with a score)."""
    decisions = {
        "training": (work["decisions"]["training"], ("split",)),
        "quality": (work["decisions"]["quality"], ("score",)),
    }
    for batch in read_batches(work["documents"], (), decisions):
        scores = batch["quality.score"]
        train = pc.equal(batch["training.split"], "train").fill_null(False).to_numpy(zero_copy_only=False)
        yield {
            "ids": ids_of(batch["id"]),
            "scores": scores.fill_null(0).to_numpy(),
            "stays": train & scores.is_valid().to_numpy(zero_copy_only=False),
        }


class _Items(beam.DoFn):
    """Sends a shard's scored training documents to be ranked by (score, id), each component by itself."""

    def __init__(self, components: list[str]) -> None:
        self._group = {name: number for number, name in enumerate(components)}

    def process(self, work: dict[str, Any]) -> Iterable[tuple[int, bytes]]:
        """Yield packed items."""
        for batch in _scored(work):
            items = np.zeros(int(batch["stays"].sum()), ITEM)
            items["id"] = batch["ids"][batch["stays"]]
            items["key"] = batch["scores"][batch["stays"]].astype(np.uint64) << np.uint64(48)
            items["weight"] = 1
            items["address"] = work["address"]
            if len(items):
                yield from pack_items(self._group[work["component"]], items)
            report(len(batch["ids"]))


class _Keep(beam.DoFn):
    """Writes the decision shard from scores and places."""

    def __init__(self, seed: int, alpha: str, on: str) -> None:
        self._seed, self._alpha, self._on = seed, alpha, on

    def setup(self) -> None:
        """Compute the table of thresholds once a worker."""
        self._table = ParetoTable(self._alpha)

    def process(self, joined: tuple[int, dict[str, Any]]) -> Iterable[dict[str, Any]]:
        """Write one shard."""
        (work,) = joined[1]["work"]
        places = places_by_id(joined[1]["places"])
        draw = KeyedHash(self._seed, "pareto")
        columns: dict[str, list[Any]] = {"id": [], "rank": [], "draw": [], "keep": []}
        for batch in _scored(work):
            for identifier, score, stays in zip(
                map(bytes, batch["ids"]), batch["scores"].tolist(), batch["stays"], strict=True
            ):
                columns["id"].append(identifier)
                row: tuple[Any, Any, Any] = (None, None, None)
                if stays:
                    before, total = places[identifier]
                    rank, number = rank_quantile(before, total), draw(identifier)
                    row = (rank, number, self._table.keeps(number, rank if self._on == "rank" else score))
                for name, value in zip(("rank", "draw", "keep"), row, strict=True):
                    columns[name].append(value)
        schema = DECISION_SCHEMAS["sample"]
        table = pa.Table.from_arrays([pa.array(columns[f.name], f.type) for f in schema], schema=schema)
        kept, dropped = columns["keep"].count(True), columns["keep"].count(False)
        result = write_decision(work, table, {"in": kept + dropped, "out": kept, "pareto": dropped})
        yield result | {"samples": self._shown(work, columns)}

    def _shown(self, work: dict[str, Any], columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
        """Return a few kept and dropped documents nearest to the middle of the ranks, to read in the report."""
        ranked = [(abs(r - SCORE_UNITS // 2), i) for i, r in enumerate(columns["rank"]) if r is not None]
        chosen: dict[int, bool] = {}
        for keep in (True, False):
            nearest = sorted(item for item in ranked if columns["keep"][item[1]] is keep)[:SAMPLES_SHOWN]
            chosen |= {row: keep for _, row in nearest}
        if not chosen:
            return []
        return list(_read_samples(work, columns, chosen))


def _read_samples(
    work: dict[str, Any], columns: dict[str, list[Any]], chosen: dict[int, bool]
) -> Iterator[dict[str, Any]]:
    start = 0
    decisions = {"quality": (work["decisions"]["quality"], ("score",))}
    for batch in read_batches(work["documents"], ("url", "title", "text"), decisions):
        for row in range(start, start + len(batch["id"])):
            if row in chosen:
                at = row - start
                yield {
                    "kept": chosen[row],
                    "distance": abs(columns["rank"][row] - SCORE_UNITS // 2),
                    "url": batch["url"][at].as_py(),
                    "title": batch["title"][at].as_py(),
                    "score": batch["quality.score"][at].as_py(),
                    "text": batch["text"][at].as_py()[:SNIPPET_CHARACTERS],
                }
        start += len(batch["id"])


def _summary(corpus: Corpus, results: list[dict[str, Any]]) -> dict[str, Any]:
    samples = sorted((s for r in results for s in r["samples"]), key=lambda s: (s["distance"], s["text"]))
    shown: dict[str, list[dict[str, Any]]] = {"kept": [], "dropped": []}
    for sample in samples:
        side = shown["kept" if sample["kept"] else "dropped"]
        if len(side) < SAMPLES_SHOWN:
            side.append({name: sample[name] for name in ("url", "title", "score", "text")})
    settings = corpus.config.sample
    return {
        "alpha": settings.alpha,
        "on": settings.on,
        "kept": sum(r["counts"]["out"] for r in results),
        "dropped": sum(r["counts"]["pareto"] for r in results),
        "samples": shown,
    }


def run(corpus: Corpus) -> FinishedStage:
    """Run the stage, or return it if it is finished."""
    settings = corpus.config.sample
    assert corpus.config.quality is not None, "sampling needs scores"
    recipe = {"seed": corpus.config.seed, "components": corpus.config.quality.scored, **settings.model_dump()}
    key = StageKey("sample", recipe, corpus.inputs("training", "quality"), ("pipelines.sample",), ("pyarrow",))
    done = corpus.store.finished(key)
    if done is not None:
        return done
    items = _Items(sorted(corpus.config.quality.scored))
    thresholds = ParetoTable(settings.alpha).thresholds.astype("<u8").tobytes()
    digest = write_bytes(corpus.store.begin(key).path(THRESHOLDS_PATH), thresholds)

    def build(work: beam.PCollection) -> beam.PCollection:
        places = work | "Scores" >> beam.ParDo(items) | "Rank" >> RankItems()
        addressed = work | "Address" >> beam.Map(lambda item: (item["address"], item))
        keep = _Keep(corpus.config.seed, settings.alpha, settings.on)
        return (
            {"work": addressed, "places": places} | "Meet documents" >> beam.CoGroupByKey() | "Keep" >> beam.ParDo(keep)
        )

    return run_decision_stage(
        corpus,
        key,
        build,
        jobs=["training", "quality"],
        summarize=lambda results: _summary(corpus, results),
        more_files=[StoredFile.of(THRESHOLDS_PATH, digest)],
    )


if __name__ == "__main__":
    from pipelines.job import main

    main("sample")
