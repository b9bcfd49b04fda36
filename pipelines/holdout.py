"""Hold out: the documents that no classifier, tokenizer or mixture ever sees.

The unit is the duplicate cluster, which is the one document that stays of it; of books the reader makes one document a
chapter. A cluster of which several stay is trained on whole, so that no cluster is on both sides. Each source gives
its own share (within limits, never all of it), those first in the order of hash(seed, `holdout`, id). Sources named
under `holdout.sources` are held out whole: they are the out-of-domain set; their documents in clusters of which
several stay are on neither side.

In: documents, `deduplicate`. Out: decisions {split}. Alone: `python -m pipelines.holdout --config FILE --store DIR`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from pipelines.config import HoldOut
from pipelines.corpus import ADDRESS_SHARDS, Corpus, run_decision_stage, write_decision
from pipelines.documents import DECISION_SCHEMAS, ids_of, read_batches
from pipelines.progress import report
from pipelines.ranking import ITEM, RankItems, pack_items, places_by_id
from pipelines.store.hashing import KeyedHash
from pipelines.store.stages import FinishedStage, StageKey


def quota(documents: int, settings: HoldOut) -> int:
    """Return how many of `documents` to hold out: the share rounded down, within the limits, never all."""
    wanted = max(int(documents * settings.share), settings.minimum)
    if settings.maximum:
        wanted = min(wanted, settings.maximum)
    return max(0, min(documents - 1, wanted))


def _staying(work: dict[str, Any]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (ids, mask of those that deduplication left, mask of these alone in their cluster) for each batch of a
    shard.
    """
    decisions = {"deduplicate": (work["decisions"]["deduplicate"], ("reason", "cluster_stays"))}
    for batch in read_batches(work["documents"], (), decisions):
        stays = batch["deduplicate.reason"].is_null().to_numpy(zero_copy_only=False)
        alone = batch["deduplicate.cluster_stays"].fill_null(0).to_numpy(zero_copy_only=False) == 1
        yield ids_of(batch["id"]), stays, stays & alone


class _Items(beam.DoFn):
    """Sends the staying documents of a shard to be ranked by their keyed hash, each source by itself."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def process(self, work: dict[str, Any]) -> Iterable[tuple[int, bytes]]:
        """Yield packed items."""
        draw = KeyedHash(self._seed, "holdout")
        for ids, _, alone in _staying(work):
            chosen = ids[alone]
            items = np.zeros(len(chosen), ITEM)
            items["id"] = chosen
            items["key"] = draw.many(map(bytes, chosen))
            items["weight"] = 1
            items["address"] = work["address"]
            yield from pack_items(work["address"] // ADDRESS_SHARDS, items)
            report(len(ids))


class _Split(beam.DoFn):
    """Writes the decision shard from the places of its documents."""

    def __init__(self, settings: HoldOut) -> None:
        self._settings = settings

    def process(self, joined: tuple[int, dict[str, Any]]) -> Iterable[dict[str, Any]]:
        """Write one shard."""
        (work,) = joined[1]["work"]
        places = places_by_id(joined[1]["places"])
        ids: list[bytes] = []
        splits: list[str | None] = []
        for batch_ids, stays, _ in _staying(work):
            ids.extend(map(bytes, batch_ids))
            splits.extend(
                self._split(work["source"], places.get(bytes(identifier))) if stay else None
                for identifier, stay in zip(batch_ids, stays, strict=True)
            )
        schema = DECISION_SCHEMAS["holdout"]
        table = pa.Table.from_arrays(
            [pa.array(ids, schema.field("id").type), pa.array(splits, pa.string())], schema=schema
        )
        counts = {"in": len(splits) - splits.count(None), "out": splits.count("train")}
        counts |= {name: splits.count(name) for name in ("heldout", "out_of_domain", "shared_cluster")}
        yield write_decision(work, table, counts)

    def _split(self, source: str, place: tuple[int, int] | None) -> str:
        """Return the split of a document by its place among those alone in their cluster; None: it is not alone."""
        if source in self._settings.sources:
            return "out_of_domain" if place else "shared_cluster"
        if place is None:
            return "train"
        before, total = place
        return "heldout" if before < quota(total, self._settings) else "train"


def run(corpus: Corpus) -> FinishedStage:
    """Run the stage, or return it if it is finished."""
    settings = corpus.config.holdout
    recipe = {"seed": corpus.config.seed, **settings.model_dump()}
    key = StageKey("holdout", recipe, corpus.inputs("deduplicate"), ("pipelines.holdout",), ("pyarrow",))

    def build(work: beam.PCollection) -> beam.PCollection:
        places = work | "Draw" >> beam.ParDo(_Items(corpus.config.seed)) | "Rank" >> RankItems()
        addressed = work | "Address" >> beam.Map(lambda item: (item["address"], item))
        return (
            {"work": addressed, "places": places}
            | "Meet documents" >> beam.CoGroupByKey()
            | "Split" >> beam.ParDo(_Split(settings))
        )

    return run_decision_stage(corpus, key, build, jobs=["deduplicate"])


if __name__ == "__main__":
    from pipelines.job import main

    main("holdout")
