"""Verification of candidate pairs by exact Jaccard, in a second pass over the document shards that hold them.

Each pair goes to the shard of its first node. There the shingle set of that document is computed again and, unless
both documents are at home there, sent to the shard of the second. So a set (8 bytes a distinct shingle) travels once
for each other shard that asks for it, only for documents in candidate pairs, and each shard is read at most twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
from numpy.typing import NDArray

from pipelines.near_duplicates.jaccard import COMPARISON, compare, read_shingle_sets
from pipelines.near_duplicates.lsh import PAIR, distinct_pairs
from pipelines.near_duplicates.mixing import Words
from pipelines.near_duplicates.shuffle import BUFFER_BYTES, keyed_block, load, node_address, node_row

COMPARED = "compared"
SETS = "sets"
_NO_NODES: Words = np.empty(0, np.uint64)


@dataclass(frozen=True)
class ShingleSetMessage:
    """A document's shingle set, with the nodes of one other shard that it is to be compared with."""

    node: int
    targets: Words
    shingles: Words

    def encode(self) -> bytes:
        """Return node, number of targets and of shingles, targets, shingles: all uint64, little-endian."""
        head = np.array([self.node, len(self.targets), len(self.shingles)], "<u8")
        return b"".join((head.tobytes(), self.targets.astype("<u8").tobytes(), self.shingles.astype("<u8").tobytes()))


def decode_messages(block: bytes) -> Iterator[ShingleSetMessage]:
    """Yield the messages of a block of several."""
    values = np.frombuffer(block, "<u8")
    place = 0
    while place < len(values):
        node, targets, shingles = (int(value) for value in values[place : place + 3])
        middle, end = place + 3 + targets, place + 3 + targets + shingles
        yield ShingleSetMessage(node, values[place + 3 : middle], values[middle:end])
        place = end


class _HomePairs:
    """Compares pairs within one shard while its documents pass in order; holds a set only until its last pair.

    Args:
        pairs: dtype PAIR.
    """

    def __init__(self, pairs: np.ndarray) -> None:
        self.nodes: Words = np.union1d(pairs["first"], pairs["second"])
        self.compared: list[tuple[int, int, int, int]] = []
        self._firsts: dict[int, list[int]] = {}
        for first, second in pairs.tolist():
            self._firsts.setdefault(second, []).append(first)
        self._waiting = Counter(pairs["first"].tolist())
        self._sets: dict[int, Words] = {}

    def take(self, node: int, shingles: Words) -> None:
        """Compare a document with those before it, and keep its set if later ones are to come."""
        for first in self._firsts.pop(node, ()):
            self.compared.append(compare(first, node, self._sets[first], shingles))
            self._waiting[first] -= 1
            if not self._waiting[first]:
                del self._sets[first]
        if self._waiting[node]:
            self._sets[node] = shingles


class _SendShingleSets(beam.DoFn):
    """Compares the pairs that lie within one shard, and sends the sets that other shards need."""

    def __init__(self, shingle_words: int) -> None:
        self._width = shingle_words

    def process(self, joined: tuple[int, dict[str, Any]]) -> Iterator[Any]:
        """Yield tagged packed comparisons and (address, packed messages)."""
        address, pairs = joined[0], load(joined[1]["pairs"], PAIR)
        if not len(pairs):
            return
        pairs = distinct_pairs(pairs["first"], pairs["second"])
        at_home = node_address(pairs["second"]) == address
        (work,) = joined[1]["work"]
        home = _HomePairs(pairs[at_home])
        yield from self._pass_over(work["documents"], home, pairs[~at_home])
        if home.compared:
            yield beam.pvalue.TaggedOutput(COMPARED, np.array(home.compared, COMPARISON).tobytes())

    def _pass_over(self, url: str, home: _HomePairs, elsewhere: np.ndarray) -> Iterator[Any]:
        """Read the documents in question once, in order; yield the messages of those that other shards need."""
        senders, starts = np.unique(elsewhere["first"], return_index=True)
        groups = np.split(elsewhere["second"], starts[1:]) if len(senders) else []
        partners = dict(zip(senders.tolist(), groups, strict=True))
        nodes = np.union1d(home.nodes, senders)
        waiting: dict[int, list[bytes]] = {}
        size = 0
        sets = read_shingle_sets(url, node_row(nodes), self._width)
        for node, (_, shingles) in zip(nodes.tolist(), sets, strict=True):
            home.take(node, shingles)
            for address, targets in _by_address(partners.get(node, _NO_NODES)):
                message = ShingleSetMessage(node, targets, shingles).encode()
                waiting.setdefault(address, []).append(message)
                size += len(message)
            if size >= BUFFER_BYTES:
                yield from _tagged_blocks(waiting)
                waiting, size = {}, 0
        yield from _tagged_blocks(waiting)


def _by_address(nodes: Words) -> Iterator[tuple[int, Words]]:
    addresses = node_address(nodes)
    for address in np.unique(addresses).tolist():
        yield address, nodes[addresses == address]


def _tagged_blocks(waiting: dict[int, list[bytes]]) -> Iterator[Any]:
    for address, messages in waiting.items():
        yield beam.pvalue.TaggedOutput(SETS, keyed_block(address, b"".join(messages)))


class _CompareShingleSets(beam.DoFn):
    """Compares the sets sent to one shard with those of its own documents."""

    def __init__(self, shingle_words: int) -> None:
        self._width = shingle_words

    def process(self, joined: tuple[int, dict[str, Any]]) -> Iterator[bytes]:
        """Yield packed comparisons."""
        messages = [message for block in joined[1]["sets"] for message in decode_messages(block)]
        if not messages:
            return
        (work,) = joined[1]["work"]
        asked = _messages_by_target(messages)
        rows: NDArray[np.int64] = node_row(np.array(sorted(asked), np.uint64))
        home = joined[0] << 32
        compared = [
            compare(message.node, home | row, message.shingles, shingles)
            for row, shingles in read_shingle_sets(work["documents"], rows, self._width)
            for message in asked[home | row]
        ]
        yield np.array(compared, COMPARISON).tobytes()


def _messages_by_target(messages: Iterable[ShingleSetMessage]) -> dict[int, list[ShingleSetMessage]]:
    asked: dict[int, list[ShingleSetMessage]] = {}
    for message in messages:
        for target in message.targets.tolist():
            asked.setdefault(target, []).append(message)
    return asked


class ComparePairs(beam.PTransform):
    """{`pairs`: (address of the first node, packed PAIRs), `work`: (address, work item)} → packed COMPARISONs.

    A pair may come several times; it is compared once.

    Args:
        shingle_words: words a shingle.
    """

    def __init__(self, shingle_words: int) -> None:
        super().__init__()
        self._width = shingle_words

    def expand(self, inputs: dict[str, beam.PCollection]) -> beam.PCollection:
        """Add both passes."""
        sent = (
            {"pairs": inputs["pairs"], "work": inputs["work"]}
            | "Meet first shards" >> beam.CoGroupByKey()
            | "Send shingle sets" >> beam.ParDo(_SendShingleSets(self._width)).with_outputs(SETS, COMPARED)
        )
        elsewhere = (
            {"sets": sent[SETS], "work": inputs["work"]}
            | "Meet second shards" >> beam.CoGroupByKey()
            | "Compare shingle sets" >> beam.ParDo(_CompareShingleSets(self._width))
        )
        return (sent[COMPARED], elsewhere) | "All comparisons" >> beam.Flatten()
