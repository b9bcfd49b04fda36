"""The first pass: what deduplication needs to know of each document, as a few packed records.

Eligibility comes first: only a document in one of the selected languages and of at least `min_characters` may
represent a cluster or be a duplicate; of the others a decision goes out at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.documents import ids_of, read_batches
from pipelines.job_progress import report
from pipelines.near_duplicates.lsh import BAND_ENTRY, band_keys
from pipelines.near_duplicates.minhash import signatures
from pipelines.near_duplicates.mixing import Words, partition_of
from pipelines.near_duplicates.records import CONTENT, DECISION, LANGUAGE, TOO_SHORT
from pipelines.near_duplicates.settings import DeduplicateSettings
from pipelines.near_duplicates.shingles import packed_texts, shingle_batch, text_groups
from pipelines.near_duplicates.shuffle import Outbox, make_nodes

CONTENTS, INELIGIBLE, READ = "contents", "ineligible", "read"


def first_word(hashes: NDArray[np.void]) -> Words:
    """Return the first 8 bytes of 16-byte hashes as integers."""
    return np.ascontiguousarray(hashes).view(">u8").reshape(-1, 2)[:, 0].astype(np.uint64)


class Fingerprint(beam.DoFn):
    """Reads a document shard; sends band entries, contents, the decisions on ineligible documents, and how many
    documents it read.

    Args:
        settings: of deduplication.
        languages: that are eligible; none means all.
        min_characters: least length of an eligible text.
    """

    def __init__(self, settings: DeduplicateSettings, languages: Iterable[str], min_characters: int) -> None:
        self._settings = settings
        self._languages = pa.array(sorted(languages), pa.string())
        self._min_characters = min_characters

    def process(self, work: dict[str, Any]) -> Iterator[Any]:
        """Yield (partition, packed BAND_ENTRYs), and the rest tagged."""
        bands, contents, ineligible = Outbox(BAND_ENTRY), Outbox(CONTENT), Outbox(DECISION)
        boxes = ((bands, None), (contents, CONTENTS), (ineligible, INELIGIBLE))
        read = 0
        for batch in read_batches(work["documents"], ("content_hash", "language", "text"), {}):
            nodes = make_nodes(work["address"], np.arange(read, read + len(batch["id"])))
            reasons, lengths = self._ineligible(batch)
            stays = reasons == 0
            self._add_ineligible(ineligible, nodes[~stays], reasons[~stays])
            chosen = {name: column.filter(pa.array(stays)) for name, column in batch.items()}
            self._add_contents(contents, chosen, nodes[stays], lengths[stays], work["component"])
            self._add_bands(bands, chosen, nodes[stays])
            read += len(batch["id"])
            report(len(batch["id"]))
            for box, tag in boxes:
                if box.full:
                    yield from _sent(box, tag)
        for box, tag in boxes:
            yield from _sent(box, tag)
        yield beam.pvalue.TaggedOutput(READ, (work["address"], read))

    def _ineligible(self, batch: dict[str, Any]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return for each document the reason against it (0: none) and its characters."""
        lengths = pc.utf8_length(batch["text"]).to_numpy(zero_copy_only=False).astype(np.int64)
        reasons = np.where(lengths < self._min_characters, TOO_SHORT, 0).astype(np.uint8)
        if len(self._languages):
            known = pc.is_in(batch["language"], value_set=self._languages).to_numpy(zero_copy_only=False)
            reasons[~known.astype(np.bool_)] = LANGUAGE
        return reasons, lengths

    def _add_ineligible(self, box: Outbox, nodes: Words, reasons: NDArray[np.uint8]) -> None:
        records = np.zeros(len(nodes), DECISION)
        records["node"], records["reason"] = nodes, reasons
        box.add(records, (nodes >> np.uint64(32)).astype(np.int64))

    def _add_contents(
        self, box: Outbox, batch: dict[str, Any], nodes: Words, lengths: NDArray[np.int64], component: str
    ) -> None:
        records = np.zeros(len(nodes), CONTENT)
        records["content"], records["id"] = ids_of(batch["content_hash"]), ids_of(batch["id"])
        records["node"], records["length"] = nodes, np.minimum(lengths, 0xFFFFFFFF)
        records["priority"] = self._settings.priority_rank(component)
        box.add(records, partition_of(first_word(records["content"]), self._settings.partitions))

    def _add_bands(self, box: Outbox, batch: dict[str, Any], nodes: Words) -> None:
        settings = self._settings
        data, offsets = packed_texts(batch["text"])
        contents = first_word(ids_of(batch["content_hash"]))
        for first, end in text_groups(offsets):
            shingles = shingle_batch(data, offsets[first : end + 1], settings.shingle_words)
            keys = band_keys(signatures(shingles, settings.permutations), settings.bands, settings.rows)
            comparable = shingles.counts > 0
            entries = np.empty((int(comparable.sum()), settings.bands), BAND_ENTRY)
            entries["key"] = keys[comparable]
            entries["content"] = contents[first:end][comparable, None]
            entries["node"] = nodes[first:end][comparable, None]
            flat = entries.reshape(-1)
            box.add(flat, partition_of(flat["key"], settings.partitions))


def _sent(box: Outbox, tag: str | None) -> Iterator[Any]:
    for element in box.send():
        yield element if tag is None else beam.pvalue.TaggedOutput(tag, element)
