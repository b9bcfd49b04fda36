"""Deduplicate: exact copies and verified near-duplicates, within and across sources.

In: documents. Out: decisions {reason, representative, cluster, cluster_stays, jaccard}. Documents that are not of a
selected language or too short are decided first; the others stay unless a document that stays is at least as similar as
the threshold.

    documents ─ fingerprint ┬ band entries ─ buckets ─ pairs ─ compare ─ linked ─ components ┐
                            ├ contents ─ exact groups ──────────────────────────────────────┴ join ─ decide ─┐
                            └ decisions on ineligible documents ─────────────────────────────────────────────┴ write

Every arrow between workers carries packed hashes keyed by a small integer, never text. Alone: `python -m
pipelines.deduplicate --config FILE --store DIR`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np

from pipelines.corpus import Corpus, decision_ledger
from pipelines.engine import read_results, read_work_list, write_results, write_work_list
from pipelines.near_duplicates.clusters import (
    decide,
    exact_groups,
    linked_edges,
    missing_pairs,
    with_root,
    with_roots,
)
from pipelines.near_duplicates.components import EDGE, ConnectedComponents
from pipelines.near_duplicates.fingerprints import CONTENTS, INELIGIBLE, READ, Fingerprint
from pipelines.near_duplicates.jaccard import COMPARISON, at_least
from pipelines.near_duplicates.lsh import BAND_ENTRY, bucket_pairs
from pipelines.near_duplicates.mixing import partition_of
from pipelines.near_duplicates.records import CONTENT, MEMBER, ROOTED
from pipelines.near_duplicates.settings import DeduplicateSettings, describe
from pipelines.near_duplicates.shuffle import SHUFFLED_BYTES, load, node_address, scatter
from pipelines.near_duplicates.verification import ComparePairs
from pipelines.near_duplicates.writing import WriteDecisions
from pipelines.store.ledger import check_documents
from pipelines.store.stages import FinishedStage, StageKey, StoredFile

STATISTICS = "statistics"
STATISTIC_NAMES = (
    "bucket_pairs_left_out",
    "pairs_compared",
    "pairs_linked",
    "pairs_with_first_compared",
    "pairs_with_first_linked",
    "clusters",
    "clusters_of_which_several_stay",
)
"""The figures of a run: pairs that crowded buckets did not compare; candidate pairs compared; those at or above the
threshold; comparisons with a cluster's first document that no bucket had made, and those at or above the threshold;
clusters of several contents; those of them that keep more than one document.
"""
CLUSTERED, LINKED, LATE = "clustered", "linked", "late"

Keyed = tuple[int, Iterable[bytes]]
Joined = tuple[int, dict[str, Any]]


def _count(name: str, number: int) -> Any:
    return beam.pvalue.TaggedOutput(STATISTICS, (name, number))


class _FindPairs(beam.DoFn):
    """Band entries of a partition to candidate pairs, at the address of their first node."""

    def __init__(self, settings: DeduplicateSettings) -> None:
        self._limit, self._neighbors = settings.bucket_limit, settings.bucket_neighbors

    def process(self, keyed: Keyed) -> Iterator[Any]:
        """Yield (address, packed PAIRs)."""
        pairs, left_out = bucket_pairs(load(keyed[1], BAND_ENTRY), self._limit, self._neighbors)
        yield from scatter(pairs, node_address(pairs["first"]))
        yield _count("bucket_pairs_left_out", left_out)


class _KeepLinked(beam.DoFn):
    """Keeps the comparisons at or above the threshold, and counts under these names."""

    def __init__(self, settings: DeduplicateSettings, compared: str, kept: str) -> None:
        self._threshold, self._partitions = settings.exact_threshold, settings.partitions
        self._compared, self._kept = compared, kept

    def process(self, block: bytes) -> Iterator[Any]:
        """Yield (partition of the first node, packed COMPARISONs)."""
        comparisons = load([block], COMPARISON)
        linked = comparisons[at_least(comparisons, self._threshold)]
        yield from scatter(linked, partition_of(linked["first"], self._partitions))
        yield _count(self._compared, len(comparisons))
        yield _count(self._kept, len(linked))


class _GroupCopies(beam.DoFn):
    """Contents of a partition to members, at the partition of their content's node."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions

    def process(self, keyed: Keyed) -> Iterator[Any]:
        """Yield (partition, packed MEMBERs)."""
        members = exact_groups(load(keyed[1], CONTENT))
        yield from scatter(members, partition_of(members["carrier"], self._partitions))


class _JoinLabels(beam.DoFn):
    """Sends members and links of clusters to the partition of their root; decides on all other members at once."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions

    def process(self, joined: Joined) -> Iterator[Any]:
        """Yield (address, packed DECISIONs), and tagged members and links by partition of their root."""
        labels = load(joined[1]["labels"], EDGE)
        members, clustered = with_roots(load(joined[1]["members"], MEMBER), labels)
        alone = decide(members[~clustered], np.empty(0, ROOTED))
        yield from scatter(alone, node_address(alone["node"]))
        links = with_root(load(joined[1][LINKED], COMPARISON), labels)
        for tag, records in ((CLUSTERED, members[clustered]), (LINKED, links)):
            for element in scatter(records, partition_of(records["root"], self._partitions), groupings=2):
                yield beam.pvalue.TaggedOutput(tag, element)


class _AskForFirst(beam.DoFn):
    """Finds what of each cluster was not linked to its first document."""

    def process(self, joined: Joined) -> Iterator[tuple[int, bytes]]:
        """Yield (address, packed PAIRs) to be compared."""
        pairs = missing_pairs(load(joined[1][CLUSTERED], MEMBER), load(joined[1][LINKED], ROOTED))
        yield from scatter(pairs, node_address(pairs["first"]))


class _JoinLate(beam.DoFn):
    """Sends the links found late to the partition of their root."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions

    def process(self, joined: Joined) -> Iterator[tuple[int, bytes]]:
        """Yield (partition, packed ROOTEDs)."""
        links = with_root(load(joined[1][LATE], COMPARISON), load(joined[1]["labels"], EDGE))
        yield from scatter(links, partition_of(links["root"], self._partitions))


class _Decide(beam.DoFn):
    """Chooses what stays of each cluster."""

    def process(self, joined: Joined) -> Iterator[Any]:
        """Yield (address, packed DECISIONs)."""
        links = load([*joined[1][LINKED], *joined[1][LATE]], ROOTED)
        decisions = decide(load(joined[1][CLUSTERED], MEMBER), links)
        yield from scatter(decisions, node_address(decisions["node"]))
        _, firsts = np.unique(decisions["cluster"].view("S16"), return_index=True)
        yield _count("clusters", len(firsts))
        yield _count("clusters_of_which_several_stay", int((decisions["cluster_stays"][firsts] > 1).sum()))


class Deduplicate(beam.PTransform):
    """Work items (one a document shard) → results: {source, file, counts} of each decision shard written, and
    {statistic, number} of each figure of the run.

    Args:
        settings: of deduplication.
        languages: that are eligible; none means all.
        min_characters: least length of an eligible text.
    """

    def __init__(self, settings: DeduplicateSettings, languages: Iterable[str], min_characters: int) -> None:
        super().__init__()
        self._settings = settings
        self._fingerprint = Fingerprint(settings, list(languages), min_characters)

    def expand(self, work: beam.PCollection) -> beam.PCollection:
        """Add the transforms."""
        addressed = work | "Address" >> beam.Map(lambda item: (item["address"], item))
        read = work | "Fingerprint" >> beam.ParDo(self._fingerprint).with_outputs(
            CONTENTS, INELIGIBLE, READ, main="bands"
        )
        linked, link_statistics = self._link(read["bands"], addressed)
        decided, cluster_statistics = self._cluster(read[CONTENTS], linked, addressed)
        written = (
            {
                "work": addressed,
                "decisions": (read[INELIGIBLE], *decided) | "All decisions" >> beam.Flatten(),
                "read": read[READ],
            }
            | "Meet documents" >> beam.CoGroupByKey()
            | "Write" >> beam.ParDo(WriteDecisions())
        )
        totals = (
            (*link_statistics, *cluster_statistics)
            | "All statistics" >> beam.Flatten()
            | "Sum statistics" >> beam.CombinePerKey(sum)
            | "Statistic" >> beam.MapTuple(lambda name, number: {"statistic": name, "number": number})
        )
        return (written, totals) | "Results" >> beam.Flatten()

    def _link(
        self, bands: beam.PCollection, addressed: beam.PCollection
    ) -> tuple[beam.PCollection, tuple[beam.PCollection, ...]]:
        """Return the comparisons that reach the threshold, by partition of their first node."""
        pairs = (
            bands
            | "Group buckets" >> beam.GroupByKey()
            | "Find pairs" >> beam.ParDo(_FindPairs(self._settings)).with_outputs(STATISTICS, main="pairs")
        )
        links = {"pairs": pairs["pairs"], "work": addressed} | "Compare" >> ComparePairs(self._settings.shingle_words)
        linked = links | "Keep linked" >> self._keep_linked("pairs_compared", "pairs_linked")
        return linked[LINKED], (pairs[STATISTICS], linked[STATISTICS])

    def _keep_linked(self, compared: str, kept: str) -> Any:
        return beam.ParDo(_KeepLinked(self._settings, compared, kept)).with_outputs(STATISTICS, main=LINKED)

    def _cluster(
        self, contents: beam.PCollection, linked: beam.PCollection, addressed: beam.PCollection
    ) -> tuple[tuple[beam.PCollection, ...], tuple[beam.PCollection, ...]]:
        """Return the decisions on all eligible documents, by address."""
        partitions = self._settings.partitions
        labels = (
            linked
            | "Edges" >> beam.MapTuple(lambda key, block: (key, linked_edges(load([block], COMPARISON)).tobytes()))
            | "Components" >> ConnectedComponents(self._settings.rounds, partitions)
        )
        members = (
            contents | "Group contents" >> beam.GroupByKey() | "Group copies" >> beam.ParDo(_GroupCopies(partitions))
        )
        joined = (
            {"members": members, "labels": labels, LINKED: linked}
            | "Meet labels" >> beam.CoGroupByKey()
            | "Join labels" >> beam.ParDo(_JoinLabels(partitions)).with_outputs(CLUSTERED, LINKED, main="decisions")
        )
        clusters = {CLUSTERED: joined[CLUSTERED], LINKED: joined[LINKED]}
        late, late_statistics = self._link_to_first(clusters, labels, addressed)
        decided = (
            {**clusters, LATE: late}
            | "Meet clusters" >> beam.CoGroupByKey()
            | "Decide" >> beam.ParDo(_Decide()).with_outputs(STATISTICS, main="decisions")
        )
        return (joined["decisions"], decided["decisions"]), (decided[STATISTICS], late_statistics)

    def _link_to_first(
        self, clusters: dict[str, beam.PCollection], labels: beam.PCollection, addressed: beam.PCollection
    ) -> tuple[beam.PCollection, beam.PCollection]:
        """Return the links to each cluster's first document that no bucket found, by partition of their root."""
        pairs = clusters | "Meet firsts" >> beam.CoGroupByKey() | "Ask for first" >> beam.ParDo(_AskForFirst())
        compare = ComparePairs(self._settings.shingle_words)
        linked = (
            {"pairs": pairs, "work": addressed}
            | "Compare with first" >> compare
            | "Keep linked to first" >> self._keep_linked("pairs_with_first_compared", "pairs_with_first_linked")
        )
        late = (
            {LATE: linked[LINKED], "labels": labels}
            | "Meet labels again" >> beam.CoGroupByKey()
            | "Join late" >> beam.ParDo(_JoinLate(self._settings.partitions))
        )
        return late, linked[STATISTICS]


def run(corpus: Corpus) -> FinishedStage:
    """Run the stage, or return it if it is finished.

    The summary holds the settings' recall at the threshold and the figures of `Deduplicate`, the manifest's side the
    bytes shuffled.
    """
    settings, select = corpus.config.deduplicate, corpus.config.select
    recipe = {"select": select.model_dump(), **settings.model_dump(mode="json")}
    recipe["components"] = {name: source.component for name, source in corpus.config.sources.items()}
    recipe["unicode"] = unicodedata.unidata_version  # it decides what a word is
    key = StageKey("deduplicate", recipe, corpus.inputs(), ("pipelines.deduplicate",), ("numpy", "pyarrow"))
    done = corpus.store.finished(key)
    if done is not None:
        return done
    corpus.engine.display.say(f"  {describe(settings)}")
    stage = corpus.store.begin(key)
    work_url, results_url = stage.path("work.jsonl"), stage.path("results.jsonl")
    write_work_list(work_url, corpus.work((), stage))

    def build(pipeline: beam.Pipeline) -> None:
        job = Deduplicate(settings, select.languages, select.min_characters)
        write_results(read_work_list(pipeline, work_url) | "Deduplicate" >> job, results_url)

    documents = corpus.document_count()
    counters = corpus.engine.run(key.stage, build, documents, "documents")
    shuffled = counters.get(SHUFFLED_BYTES, 0)
    corpus.engine.display.say(f"  deduplicate: {shuffled // max(documents, 1):,} bytes shuffled a document")
    results = read_results(results_url)
    written = [result for result in results if "file" in result]
    ledger = decision_ledger(written)
    check_documents(key.stage, ledger)
    found = {result["statistic"]: result["number"] for result in results if "statistic" in result}
    summary = {"recall_at_threshold": round(settings.recall, 6)} | dict.fromkeys(STATISTIC_NAMES, 0) | found
    files = [StoredFile(**result["file"]) for result in written]
    return stage.finish(files, ledger=ledger, summary=summary, side={SHUFFLED_BYTES: shuffled})


if __name__ == "__main__":
    from pipelines.job import main

    main("deduplicate")
