"""Hold out: the documents that no classifier, tokenizer or mixture ever sees.

The unit is the duplicate cluster, which is the one document that stays of it; of books the reader makes one document a
chapter. A cluster of which several stay is trained on whole, so that no cluster is on both sides. Each source gives
its own share (within limits, never all of it), divided over its languages in proportion, and of each language those
first in the order of hash(seed, `holdout`, id). So a corpus that grows keeps nearly all that it held out. Sources named
under `holdout.sources` are held out whole: they are the out-of-domain set; their documents in clusters of which
several stay are on neither side.

In: documents, `deduplicate`. Out: decisions {split}; summary {strata: {source: {language: {documents, heldout}}}}.
Alone: `python -m pipelines.holdout --config FILE --store DIR`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa

from pipelines.config import HoldOut
from pipelines.corpus import ADDRESS_SHARDS, Corpus, run_decision_stage, write_decision
from pipelines.documents import DECISION_SCHEMAS, ids_of, read_batches
from pipelines.job_progress import report
from pipelines.language import UNKNOWN
from pipelines.ranking import ITEM, RankItems, pack_items, places_by_id
from pipelines.store.hashing import KeyedHash
from pipelines.store.repetition import exact
from pipelines.store.stages import FinishedStage, StageKey

LANGUAGES = 27**3
"""Numbers that a language may have, in the groups that documents are ranked in."""


def quota(documents: int, settings: HoldOut) -> int:
    """Return how many of `documents` to hold out: the share rounded down, within the limits, never all."""
    wanted = max(int(documents * exact(settings.share)), settings.minimum)
    if settings.maximum:
        wanted = min(wanted, settings.maximum)
    return max(0, min(documents - 1, wanted))


def divide(documents: Mapping[str, int], settings: HoldOut) -> dict[str, int]:
    """Divide a source's quota over its languages, given the documents of each: in proportion, by largest remainder."""
    total = sum(documents.values())
    if not total:
        return dict.fromkeys(documents, 0)
    wanted = quota(total, settings)
    shares = {language: divmod(wanted * number, total) for language, number in documents.items()}
    left = wanted - sum(whole for whole, _ in shares.values())
    upwards = sorted(shares, key=lambda language: (-shares[language][1], language))[:left]
    return {language: whole + (language in upwards) for language, (whole, _) in shares.items()}


class _Batch(NamedTuple):
    """Documents of a shard: their ids, which of them stay, which of these are alone in their cluster, languages."""

    ids: np.ndarray
    stays: np.ndarray
    alone: np.ndarray
    languages: np.ndarray


def _read(work: dict[str, Any]) -> Iterator[_Batch]:
    decisions = {"deduplicate": (work["decisions"]["deduplicate"], ("reason", "cluster_stays"))}
    for batch in read_batches(work["documents"], ("language",), decisions):
        stays = batch["deduplicate.reason"].is_null().to_numpy(zero_copy_only=False)
        alone = batch["deduplicate.cluster_stays"].fill_null(0).to_numpy(zero_copy_only=False) == 1
        languages = batch["language"].to_numpy(zero_copy_only=False)
        yield _Batch(ids_of(batch["id"]), stays, stays & alone, languages)


def _language_number(language: str) -> int:
    """Return a number for a code of up to three letters, its digits to base 27; 0 stands for `unknown`."""
    number = 0
    for letter in "" if language == UNKNOWN else language:
        number = number * 27 + ord(letter) - ord("a") + 1
    return number


class _Items(beam.DoFn):
    """Sends the documents of a shard that may be held out to be ranked by their keyed hash, by source and language."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def process(self, work: dict[str, Any]) -> Iterable[Any]:
        """Yield packed items, and ((source, language), documents) tagged `strata`."""
        draw = KeyedHash(self._seed, "holdout")
        source = work["address"] // ADDRESS_SHARDS
        strata: Counter[str] = Counter()
        for batch in _read(work):
            for language in np.unique(batch.languages[batch.alone].astype(str)).tolist():
                chosen = batch.ids[batch.alone & (batch.languages == language)]
                items = np.zeros(len(chosen), ITEM)
                items["id"] = chosen
                items["key"] = draw.many(map(bytes, chosen))
                items["weight"] = 1
                items["address"] = work["address"]
                strata[language] += len(items)
                yield from pack_items(source * LANGUAGES + _language_number(language), items)
            report(len(batch.ids))
        for language, number in strata.items():
            yield beam.pvalue.TaggedOutput("strata", ((work["source"], language), number))


class _Split(beam.DoFn):
    """Writes the decision shard from the places of its documents."""

    def __init__(self, settings: HoldOut) -> None:
        self._settings = settings

    def process(
        self, joined: tuple[int, dict[str, Any]], strata: dict[tuple[str, str], int]
    ) -> Iterable[dict[str, Any]]:
        """Write one shard."""
        (work,) = joined[1]["work"]
        places = places_by_id(joined[1]["places"])
        quotas = divide({key[1]: n for key, n in strata.items() if key[0] == work["source"]}, self._settings)
        ids: list[bytes] = []
        splits: list[str | None] = []
        found: Counter[tuple[str, str | None]] = Counter()
        for batch in _read(work):
            for identifier, stays, language in zip(map(bytes, batch.ids), batch.stays, batch.languages, strict=True):
                ids.append(identifier)
                place = places.get(identifier)
                splits.append(self._split(work["source"], place, quotas.get(language, 0)) if stays else None)
                found[language, splits[-1]] += 1
        schema = DECISION_SCHEMAS["holdout"]
        table = pa.Table.from_arrays(
            [pa.array(ids, schema.field("id").type), pa.array(splits, pa.string())], schema=schema
        )
        counts = {"in": len(splits) - splits.count(None), "out": splits.count("train")}
        counts |= {name: splits.count(name) for name in ("heldout", "out_of_domain", "shared_cluster")}
        languages = [[*key, number] for key, number in found.items() if key[1]]
        yield write_decision(work, table, counts) | {"languages": languages}

    def _split(self, source: str, place: tuple[int, int] | None, wanted: int) -> str:
        """Return the split of a document by its place among those alone in their cluster; None: it is not alone."""
        if source in self._settings.sources:
            return "out_of_domain" if place else "shared_cluster"
        if place is None:
            return "train"
        return "heldout" if place[0] < wanted else "train"


def _summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    strata: dict[str, dict[str, dict[str, int]]] = {}
    for result in results:
        for language, split, number in result["languages"]:
            entry = strata.setdefault(result["source"], {}).setdefault(language, {"documents": 0, "heldout": 0})
            entry["documents"] += number
            entry["heldout"] += number * (split in ("heldout", "out_of_domain"))
    return {"strata": strata}


def run(corpus: Corpus) -> FinishedStage:
    """Run the stage, or return it if it is finished."""
    settings = corpus.config.holdout
    recipe = {"seed": corpus.config.seed, **settings.model_dump()}
    key = StageKey("holdout", recipe, corpus.inputs("deduplicate"), ("pipelines.holdout",), ("pyarrow",))

    def build(work: beam.PCollection) -> beam.PCollection:
        drawn = work | "Draw" >> beam.ParDo(_Items(corpus.config.seed)).with_outputs("strata", main="items")
        places = drawn["items"] | "Rank" >> RankItems()
        strata = drawn["strata"] | "Count strata" >> beam.CombinePerKey(sum)
        addressed = work | "Address" >> beam.Map(lambda item: (item["address"], item))
        return (
            {"work": addressed, "places": places}
            | "Meet documents" >> beam.CoGroupByKey()
            | "Split" >> beam.ParDo(_Split(settings), beam.pvalue.AsDict(strata))
        )

    return run_decision_stage(corpus, key, build, jobs=["deduplicate"], summarize=_summary)


if __name__ == "__main__":
    from pipelines.job import main

    main("holdout")
