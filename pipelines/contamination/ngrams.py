"""The n-grams of all evaluation sets as packed files: written once, mapped into the memory of every worker.

An n-gram is a run of n words of an example, n the task's; an example of fewer words is one n-gram. Equal n-grams are
one, with postings that say in which examples it stands. They are sorted by anchor, the hash of their first 8, 4, 2 or 1
words (the most that they have): so one pass over a text for each anchor width finds n-grams of any length, and a worker
looks at nothing but anchors until one fits.

In: examples by task. Out, under `ngrams/`, little-endian (W words of all examples, G n-grams, P postings):
    words.bin     (W,) uint64      hashes of the examples' words, in order
    anchors.bin   (G,) uint64      first those of anchor width 8, then 4, 2, 1; sorted in each width
    starts.bin    (G,) int64       where the n-gram's words begin in words.bin
    lengths.bin   (G,) uint8       its number of words
    bounds.bin    (G + 1,) int64   the n-gram's first posting
    postings.bin  (P,) {example uint32, position uint32}: an example, and the word in it where it first has the n-gram
    header.json   {"widths": {WIDTH: n-grams}, "tasks": [{"task", "first", "examples", "without_words", "n"}]}
and `examples.parquet`. Building holds 16 bytes for each n-gram, 8 for each word and about 100 for PARTITION n-grams;
a worker maps about 33 bytes for each distinct n-gram and 8 for each word, and holds filters of 4 to 8 bytes each.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.contamination.evaluation_sets import Example
from pipelines.contamination.settings import GPT3_LEAST, GPT3_MOST
from pipelines.contamination.words import batches_of_words
from pipelines.near_duplicates.mixing import Words
from pipelines.near_duplicates.words import Offsets
from pipelines.store.files import AtomicFile, join, write_bytes
from pipelines.store.hashing import canonical_json
from pipelines.store.stages import StoredFile

WIDTHS = (8, 4, 2, 1)
"""Anchor widths; an n-gram's is the first that it is not shorter than."""

PARTITION = 1 << 20
POSTING = np.dtype([("example", "<u4"), ("position", "<u4")])
ARRAYS: Mapping[str, np.dtype[Any]] = {
    "words": np.dtype("<u8"),
    "anchors": np.dtype("<u8"),
    "starts": np.dtype("<i8"),
    "lengths": np.dtype("u1"),
    "bounds": np.dtype("<i8"),
    "postings": POSTING,
}
EXAMPLE_SCHEMA = pa.schema(
    [
        ("task", pa.string()),
        ("example", pa.int32()),
        ("file", pa.string()),
        ("line", pa.int32()),
        ("words", pa.int32()),
        ("text", pa.large_string()),
    ]
)
_BASE = 0x9FB21C651E98DF25
_BATCH_EXAMPLES = 4096


def anchor_hashes(words: Words) -> Iterator[tuple[int, Words]]:
    """Yield (width, hash of the `width` words from each word on) for 1, 2, 4 and 8 words.

    Runs over the end of a text count as well: whoever looks checks where texts end. The hash of twice the width is made
    of two of the width before; it needs no mixing, since those of the words are mixed.
    """
    sums = words
    for width in reversed(WIDTHS):
        if width > 1:
            half = width // 2
            sums = sums[:-half] + sums[half:] * np.uint64(pow(_BASE, half, 1 << 64)) if len(sums) > half else sums[:0]
        yield width, sums


def length_of_ngrams(words: Sequence[int], n: int | Literal["gpt3"]) -> int:
    """Return the words of a task's n-grams.

    For `gpt3` the 5th percentile of the examples' lengths in words (those without words left out): of N lengths in
    order the one numbered ⌊5·(N − 1)/100⌋ from 0, at least 8, at most 13.
    """
    if n != "gpt3":
        return n
    lengths = sorted(length for length in words if length)
    percentile = lengths[5 * (len(lengths) - 1) // 100] if lengths else 0
    return min(max(percentile, GPT3_LEAST), GPT3_MOST)


@dataclass
class NgramWriter:
    """Collects the examples of one task after the other, then writes the set.

    Args:
        url: the folder.
        n: words of an n-gram, or `gpt3`.
    """

    url: str
    n: int | Literal["gpt3"]
    _words: list[Words] = field(default_factory=lambda: [np.empty(0, np.uint64)])
    _counts: list[int] = field(default_factory=list)  # words of each example
    _tasks: list[dict[str, Any]] = field(default_factory=list)

    def write(self, tasks: Mapping[str, Iterable[Example]]) -> tuple[list[StoredFile], list[dict[str, Any]]]:
        """Write the files; return them, and {task, first, examples, without_words, n} of every task."""
        with (
            AtomicFile(join(self.url, "examples.parquet")) as file,
            pq.ParquetWriter(file, EXAMPLE_SCHEMA, compression="zstd", write_statistics=False) as table,
        ):
            for task, examples in tasks.items():
                self._add(task, examples, table)
        files = [StoredFile.of("examples.parquet", file.digest, rows=len(self._counts))]
        return files + self._write_ngrams(), self._tasks

    def _add(self, task: str, examples: Iterable[Example], table: pq.ParquetWriter) -> None:
        first = len(self._counts)
        for batch in _batched(examples):
            texts = pa.array([example.text for example in batch], pa.large_string())
            for _, words in batches_of_words(texts):
                self._words.append(words.hashes)
                self._counts += np.diff(words.offsets).tolist()
            done = len(self._counts) - first
            rows = range(done - len(batch), done)
            counts = self._counts[first + rows.start :]
            columns = [
                [task] * len(batch),
                rows,
                [e.file for e in batch],
                [e.line for e in batch],
                counts,
                texts,
            ]
            arrays = [pa.array(c, f.type) for c, f in zip(columns, EXAMPLE_SCHEMA, strict=True)]
            table.write_batch(pa.record_batch(arrays, schema=EXAMPLE_SCHEMA))
        counts = self._counts[first:]
        entry = {"task": task, "first": first, "examples": len(counts), "without_words": counts.count(0)}
        self._tasks.append(entry | {"n": length_of_ngrams(counts, self.n)})

    def _write_ngrams(self) -> list[StoredFile]:
        words = np.concatenate(self._words)
        counts = np.array(self._counts, np.int64)
        longest = np.repeat([t["n"] for t in self._tasks], [t["examples"] for t in self._tasks]).astype(np.int64)
        examples = _Examples(np.concatenate(([0], np.cumsum(counts))), np.minimum(counts, longest))
        outputs = {name: AtomicFile(self._path(name)) for name in ARRAYS}

        def append(name: str, array: NDArray[Any]) -> None:
            outputs[name].write(np.ascontiguousarray(array, ARRAYS[name]).view(np.uint8))

        append("words", words)
        postings, widths = 0, {}
        for width, anchors in reversed([*anchor_hashes(words)]):
            widths[str(width)] = 0
            for part in _sorted_parts(anchors, examples.starts_of(width)):
                ngrams = _distinct(words, part, examples)
                ngrams["bounds"] += postings
                for name, array in ngrams.items():
                    append(name, array)
                postings += len(ngrams["postings"])
                widths[str(width)] += len(ngrams["starts"])
        append("bounds", np.array([postings]))
        for file in outputs.values():
            file.close()
        header = canonical_json({"widths": widths, "tasks": self._tasks})
        files = [StoredFile.of(f"ngrams/{name}.bin", file.digest) for name, file in outputs.items()]
        return [*files, StoredFile.of("ngrams/header.json", write_bytes(join(self.url, "ngrams/header.json"), header))]

    def _path(self, name: str) -> str:
        return join(self.url, "ngrams", f"{name}.bin")


def _batched(examples: Iterable[Example]) -> Iterator[list[Example]]:
    batch: list[Example] = []
    for example in examples:
        batch.append(example)
        if len(batch) == _BATCH_EXAMPLES:
            yield batch
            batch = []
    if batch:
        yield batch


@dataclass(frozen=True)
class _Examples:
    """Where each example's words begin, (examples + 1,), and the words of its n-grams, (examples,)."""

    offsets: Offsets
    lengths: Offsets

    def starts_of(self, width: int) -> Offsets:
        """Return where the n-grams of this anchor width begin, in order."""
        longer = 2 * width if width != WIDTHS[0] else 1 << 62
        chosen = np.flatnonzero((self.lengths >= width) & (self.lengths < longer))
        counts = np.diff(self.offsets)[chosen] - self.lengths[chosen] + 1
        ends = np.cumsum(counts)
        within = np.arange(counts.sum()) - np.repeat(ends - counts, counts)
        return np.repeat(self.offsets[chosen], counts) + within


def _sorted_parts(anchors: Words, starts: Offsets) -> Iterator[tuple[Words, Offsets]]:
    """Yield (anchors, starts) of n-grams in runs of ascending anchors, none of an anchor in two; unsorted in a run."""
    keys = anchors[starts]
    bits = max(0, (len(keys) // PARTITION).bit_length())
    for part in range(1 << bits):
        chosen = (keys >> np.uint64(64 - bits)) == part if bits else slice(None)
        yield keys[chosen], starts[chosen]


def _distinct(words: Words, part: tuple[Words, Offsets], examples: _Examples) -> dict[str, NDArray[Any]]:
    """Return the distinct n-grams of a run in order of (anchor, words' hash, start), with their postings."""
    anchors, starts = part
    example = np.searchsorted(examples.offsets, starts, "right") - 1
    lengths = examples.lengths[example]
    whole = _whole_hashes(words, starts, lengths)
    order = np.lexsort((starts, whole, anchors))
    anchors, whole = anchors[order], whole[order]
    starts, lengths, example = starts[order], lengths[order], example[order]
    new = np.ones(len(starts), np.bool_)
    same = (whole[1:] == whole[:-1]) & (lengths[1:] == lengths[:-1])
    new[1:] = ~(same & same_words(words, starts[1:], words, starts[:-1], np.where(same, lengths[1:], 0)))
    again = np.zeros(len(starts), np.bool_)  # the same n-gram once more in the same example
    again[1:] = ~new[1:] & (example[1:] == example[:-1])
    postings = np.empty(int((~again).sum()), POSTING)
    postings["example"] = example[~again]
    postings["position"] = (starts - examples.offsets[example])[~again]
    return {
        "anchors": anchors[new],
        "starts": starts[new],
        "lengths": lengths[new],
        "bounds": (np.cumsum(~again) - 1)[new],
        "postings": postings,
    }


def _whole_hashes(words: Words, starts: Offsets, lengths: Offsets) -> Words:
    """Return a hash of all the words of each n-gram: it brings equal ones together, `same_words` decides."""
    sums = np.zeros(len(starts), np.uint64)
    for place in range(int(lengths.max(initial=0))):
        inside = lengths > place
        sums[inside] += words[starts[inside] + place] * np.uint64(pow(_BASE, place + 1, 1 << 64))
    return sums


def same_words(
    a: Words, a_starts: Offsets, b: Words, b_starts: Offsets, lengths: NDArray[np.integer[Any]]
) -> NDArray[np.bool_]:
    """Tell of each pair of runs of words whether all of their `lengths` words are equal."""
    equal = np.ones(len(a_starts), np.bool_)
    for place in range(int(lengths.max(initial=0))):
        rows = np.flatnonzero(equal & (lengths > place))
        equal[rows] = a[a_starts[rows] + place] == b[b_starts[rows] + place]
    return equal


def read_header(data: bytes) -> dict[str, Any]:
    """Return {"widths": {width: n-grams}, "tasks": […]} of a header."""
    header = json.loads(data)
    return {"widths": {int(width): number for width, number in header["widths"].items()}, "tasks": header["tasks"]}
