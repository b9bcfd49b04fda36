"""The exact place of every document in a keyed order, without gathering the corpus anywhere.

Items (32 bytes a document) are sent to partitions by ranges of their key; each partition sorts its own by (key, id)
and sums weights; the partitions' totals, a few numbers, are known to all; so each item learns the weight of all items
before it. What a job decides with it — a quota of held-out documents, a rank quantile, a random subset of a given
size — does not depend on workers or order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import apache_beam as beam
import numpy as np

ITEM = np.dtype([("key", "<u8"), ("id", "V16"), ("weight", "<i8"), ("address", "<u4")])
"""An item: sort key, document id, weight (at least 0), and the address to which its place is sent."""

PLACE = np.dtype([("id", "V16"), ("before", "<i8"), ("total", "<i8")])
"""The answer: weight of the items of its group before this one, and of the whole group."""

PARTITIONS = 64
GROUP_FACTOR = 1 << 10


def pack_items(group: int, items: np.ndarray) -> Iterator[tuple[int, bytes]]:
    """Yield (partition, packed items) of the items (dtype ITEM) of one group."""
    partition = (items["key"] >> np.uint64(58)).astype(np.int64)
    for number in np.unique(partition).tolist():
        yield group * GROUP_FACTOR + number, items[partition == number].tobytes()


def sort_items(items: np.ndarray) -> np.ndarray:
    """Return items in the order of (key, id)."""
    words = np.ascontiguousarray(items["id"]).view(">u8").reshape(-1, 2)
    return items[np.lexsort((words[:, 1], words[:, 0], items["key"]))]


def _load(blocks: Iterable[bytes]) -> np.ndarray:
    return sort_items(np.frombuffer(b"".join(blocks), ITEM))


def _total(keyed: tuple[int, Iterable[bytes]]) -> tuple[int, int]:
    return keyed[0], int(np.frombuffer(b"".join(keyed[1]), ITEM)["weight"].sum())


def _places(keyed: tuple[int, Iterable[bytes]], totals: dict[int, int]) -> Iterator[tuple[int, bytes]]:
    partition, items = keyed[0], _load(keyed[1])
    first = partition - partition % GROUP_FACTOR
    same = {number: totals[number] for number in range(first, first + PARTITIONS) if number in totals}
    places = np.empty(len(items), PLACE)
    places["id"] = items["id"]
    places["before"] = np.cumsum(items["weight"]) - items["weight"]
    places["before"] += sum(total for number, total in same.items() if number < partition)
    places["total"] = sum(same.values())
    for address in np.unique(items["address"]).tolist():
        yield address, places[items["address"] == address].tobytes()


class RankItems(beam.PTransform):
    """(partition, packed items) of `pack_items` → (address, packed places)."""

    def expand(self, items: beam.PCollection) -> beam.PCollection:
        """Add the transforms."""
        partitions = items | "Group by key range" >> beam.GroupByKey()
        totals = partitions | "Sum weights" >> beam.Map(_total)
        return partitions | "Place" >> beam.FlatMap(_places, beam.pvalue.AsDict(totals))


def places_by_id(blocks: Iterable[bytes]) -> dict[bytes, tuple[int, int]]:
    """Return {id: (before, total)} of the packed places sent to one address."""
    places = np.frombuffer(b"".join(blocks), PLACE)
    return {
        bytes(identifier): (before, total)
        for identifier, before, total in zip(
            places["id"], places["before"].tolist(), places["total"].tolist(), strict=True
        )
    }
