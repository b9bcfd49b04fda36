"""A random subset of a component with as many tokens as its filtered part: what filtering is compared with at equal
size.

Training documents of a scored component are ordered by hash(seed, `random-subset`, id); those before the point where
the tokens reach the filtered part's total are in. So it exceeds that total by less than one document.

In: documents, `holdout`, `sample`, `tokenize`. Out: decisions {random}.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from pipelines.corpus import Corpus, run_decision_stage, write_decision
from pipelines.documents import DECISION_SCHEMAS, ids_of, read_batches
from pipelines.job_progress import report
from pipelines.ranking import ITEM, RankItems, pack_items, places_by_id
from pipelines.store.hashing import KeyedHash
from pipelines.store.stages import FinishedStage, StageKey


def _sampled(work: dict[str, Any], max_tokens: int | None) -> Iterator[dict[str, np.ndarray]]:
    """Yield each batch's `ids`, `sampled` (took part in sampling), `keep`, and `tokens` with the document start."""
    decisions = {
        "sample": (work["decisions"]["sample"], ("keep",)),
        "tokenize": (work["decisions"]["tokenize"], ("count",)),
    }
    for batch in read_batches(work["documents"], (), decisions):
        keep, count = batch["sample.keep"], batch["tokenize.count"].fill_null(0).to_numpy().astype(np.int64)
        yield {
            "ids": ids_of(batch["id"]),
            "sampled": keep.is_valid().to_numpy(zero_copy_only=False),
            "keep": keep.fill_null(False).to_numpy(zero_copy_only=False),
            "tokens": (count if max_tokens is None else np.minimum(count, max_tokens)) + 1,
        }


class _Items(beam.DoFn):
    """Sends the sampled documents to be ranked by their keyed hash, and the filtered part's tokens to be summed."""

    def __init__(self, seed: int, components: list[str], max_tokens: Mapping[str, int]) -> None:
        self._seed, self._max_tokens = seed, dict(max_tokens)
        self._group = {name: number for number, name in enumerate(components)}

    def process(self, work: dict[str, Any]) -> Iterable[Any]:
        """Yield packed items, and (group, tokens) tagged `filtered`."""
        if work["component"] not in self._group:
            return
        group = self._group[work["component"]]
        draw = KeyedHash(self._seed, "random-subset")
        filtered = 0
        for batch in _sampled(work, self._max_tokens.get(work["component"])):
            chosen = batch["sampled"]
            items = np.zeros(int(chosen.sum()), ITEM)
            items["id"] = batch["ids"][chosen]
            items["key"] = draw.many(map(bytes, items["id"]))
            items["weight"] = batch["tokens"][chosen]
            items["address"] = work["address"]
            filtered += int(batch["tokens"][batch["keep"]].sum())
            yield from pack_items(group, items)
            report(len(chosen))
        yield beam.pvalue.TaggedOutput("filtered", (group, filtered))


class _Choose(beam.DoFn):
    """Writes the decision shard from places and the filtered part's tokens."""

    def __init__(self, components: list[str]) -> None:
        self._group = {name: number for number, name in enumerate(components)}

    def process(self, joined: tuple[int, dict[str, Any]], filtered: dict[int, int]) -> Iterable[dict[str, Any]]:
        """Write one shard."""
        (work,) = joined[1]["work"]
        places = places_by_id(joined[1]["places"])
        target = filtered.get(self._group.get(work["component"], -1), 0)
        ids: list[bytes] = []
        random: list[bool | None] = []
        for batch in _sampled(work, None):
            for identifier, sampled in zip(map(bytes, batch["ids"]), batch["sampled"], strict=True):
                ids.append(identifier)
                random.append(places[identifier][0] < target if sampled else None)
        schema = DECISION_SCHEMAS["subset"]
        arrays = [pa.array(ids, schema.field("id").type), pa.array(random, pa.bool_())]
        taken, left = random.count(True), random.count(False)
        counts = {"in": taken + left, "out": taken, "not_in_subset": left}
        yield write_decision(work, pa.Table.from_arrays(arrays, schema=schema), counts)


def run(corpus: Corpus) -> FinishedStage:
    """Run the stage, or return it if it is finished."""
    config = corpus.config
    assert config.quality is not None, "a random subset is made of scored components"
    components = sorted(config.quality.scored)
    caps = {name: config.pack.max_tokens[name] for name in components if name in config.pack.max_tokens}
    recipe = {"seed": config.seed, "components": components, "max_tokens": caps}
    key = StageKey("subset", recipe, corpus.inputs("sample", "tokenize"), ("pipelines.subset",), ("pyarrow",))

    def build(work: beam.PCollection) -> beam.PCollection:
        drawn = work | "Draw" >> beam.ParDo(_Items(config.seed, components, caps)).with_outputs(
            "filtered", main="items"
        )
        filtered = drawn.filtered | "Filtered tokens" >> beam.CombinePerKey(sum)
        places = drawn.items | "Rank" >> RankItems()
        addressed = work | "Address" >> beam.Map(lambda item: (item["address"], item))
        met = {"work": addressed, "places": places} | "Meet documents" >> beam.CoGroupByKey()
        return met | "Choose" >> beam.ParDo(_Choose(components), beam.pvalue.AsDict(filtered))

    return run_decision_stage(corpus, key, build, jobs=["sample", "tokenize"])


if __name__ == "__main__":
    from pipelines.job import main

    main("subset")
