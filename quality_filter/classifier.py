"""The quality classifier: texts in, scores in 1/65,536 out, the same on every machine.

A fastText model of two classes is linear before its softmax: a feature adds (its embedding) · (output of the positive
class - output of the negative), divided by the number of features. So each feature is one number, kept as an integer q
with `fraction_bits` binary places. A text's logit is Σq / (count · 2^fraction_bits), with an exact sum; it is truncated
to 1/2^20, x, and the score is ⌊65,536 · σ(x)⌋, found among the boundaries ⌈2^20 · ln(k / (65,536 - k))⌉ with
k = 1 … 65,535. No rounding of any CPU enters.

Words are known by their 32-bit hashes alone: a word outside the vocabulary takes the weight of one inside with
probability (vocabulary / 2^32), and where two in the vocabulary share a hash the more frequent one counts.

File: the 8 bytes `GLAMQF\\x00\\x01`, the header's length (uint64), the header (canonical JSON, padded with blanks to a
multiple of 8), word hashes (uint32, frequent words first), word weights (int32), bucket weights (int32), all
little-endian. The header has `words`, `buckets`, `fraction_bits`, `body_sha256` (of all that follows it) and `training`
(what the trainer tells). It takes 8 bytes a word and 4 a bucket: 11 MB for 2^21 buckets and 300,000 words.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from quality_filter.features import pair_buckets
from quality_filter.word_bytes import Bytes, Texts, encoded_texts, find_words
from quality_filter.word_table import WordTable

SCORE_UNITS = 1 << 16
LOGIT_BITS = 20
MAGIC = b"GLAMQF\x00\x01"

# Large enough to make numpy's overhead small, small enough to bound memory: about 100 bytes for each of these.
_BATCH_BYTES = 1 << 20
_LARGE_BLOCK_BYTES = 24 << 20


class Contribution(NamedTuple):
    """What one feature, a word or two with a blank between them, adds to a text's logit by all its occurrences."""

    feature: str
    occurrences: int
    logit: float


class LinearClassifier:
    """One integer weight for each word and each bucket of word pairs.

    Attributes:
        word_hashes: (words,) uint32, distinct, those of frequent words first.
        word_weights: (words,) int32.
        bucket_weights: (buckets,) int32; empty where the model has words only.
        fraction_bits: binary places of the weights.
        training: what the trainer tells about itself, plain JSON.
    """

    def __init__(
        self,
        word_hashes: np.ndarray,
        word_weights: np.ndarray,
        bucket_weights: np.ndarray,
        fraction_bits: int,
        training: dict[str, Any] | None = None,
    ) -> None:
        self.word_hashes = word_hashes
        self.word_weights = word_weights
        self.bucket_weights = bucket_weights
        self.fraction_bits = fraction_bits
        self.training = training or {}
        self._words = WordTable(word_hashes, word_weights)
        _keep_freed_memory()

    def score_batch(self, texts: Texts) -> np.ndarray:
        """Return each text's score, the probability of the positive class in 1/65,536: (texts,) int32 in 0 … 65,535.

        Texts are strings, or an Arrow array of strings, which is faster.
        """
        sums = [self._sum(batch) for batch in _batches(encoded_texts(texts))]
        if not sums:
            return np.zeros(0, np.int32)
        totals, counts = (np.concatenate(parts) for parts in zip(*sums, strict=True))
        logits = (totals << (LOGIT_BITS - self.fraction_bits)) // np.maximum(counts, 1)
        return np.searchsorted(_boundaries(), logits, side="right").astype(np.int32)

    def explain(self, text: str, limit: int = 20) -> list[Contribution]:
        """Return the `limit` features that weigh most in a text, by the size of what they add to its logit."""
        found = find_words([text.encode()])
        words = found.words()
        weighted = self._words.look_up_words(found)
        known = zip(words, weighted.weights, weighted.known, strict=True)
        features = [(word, int(weight)) for word, weight, flag in known if flag]
        if len(self.bucket_weights):
            pairs = self.bucket_weights[pair_buckets(weighted.hashes, len(self.bucket_weights))]
            features += [(f"{a} {b}", int(q)) for a, b, q in zip(words, words[1:], pairs, strict=False)]
        sums: dict[str, list[int]] = {}
        for feature, weight in features:
            entry = sums.setdefault(feature, [0, 0])
            entry[0] += 1
            entry[1] += weight
        ranked = sorted(sums.items(), key=lambda item: (-abs(item[1][1]), item[0]))[:limit]
        scale = max(1, len(features)) << self.fraction_bits
        return [Contribution(feature, count, total / scale) for feature, (count, total) in ranked]

    def to_bytes(self) -> bytes:
        """Return the file described above; equal classifiers give equal bytes."""
        arrays = ((self.word_hashes, "<u4"), (self.word_weights, "<i4"), (self.bucket_weights, "<i4"))
        body = b"".join(np.ascontiguousarray(array, dtype).tobytes() for array, dtype in arrays)
        header = {
            "words": len(self.word_hashes),
            "buckets": len(self.bucket_weights),
            "fraction_bits": self.fraction_bits,
            "body_sha256": hashlib.sha256(body).hexdigest(),
            "training": self.training,
        }
        encoded = json.dumps(
            header, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        ).encode()
        encoded += b" " * (-len(encoded) % 8)
        return MAGIC + len(encoded).to_bytes(8, "little") + encoded + body

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "classifier") -> LinearClassifier:
        """Read a file's bytes; `name` is what errors call it.

        Raises:
            ValueError: when the bytes are not a classifier of this format, or damaged.
        """
        if data[: len(MAGIC)] != MAGIC:
            raise ValueError(f"{name}: not a quality classifier of format 1; train it again with this version")
        start = len(MAGIC) + 8
        end = start + int.from_bytes(data[len(MAGIC) : start], "little")
        body = data[end:]
        try:
            header = json.loads(data[start:end])
            intact = hashlib.sha256(body).hexdigest() == header["body_sha256"]
        except (ValueError, KeyError):
            intact = False
        if not intact:
            raise ValueError(f"{name}: damaged after byte {start}; restore the file or train it again")
        words, buckets = header["words"], header["buckets"]
        hashes = np.frombuffer(body, "<u4", words)
        weights = np.frombuffer(body, "<i4", words, words * 4)
        return cls(
            hashes, weights, np.frombuffer(body, "<i4", buckets, words * 8), header["fraction_bits"], header["training"]
        )

    def _sum(self, texts: list[Bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Return the sum of weights and the number of features of each text, int64."""
        words = find_words(texts)
        weighted = self._words.look_up_words(words)
        first = words.bounds[:-1]
        counts = np.add.reduceat(weighted.known, first, dtype=np.int32).astype(np.int64)
        weights = weighted.weights
        if len(self.bucket_weights):
            pairs = np.zeros(len(weights), np.int32)
            buckets = pair_buckets(weighted.hashes, len(self.bucket_weights))
            np.take(self.bucket_weights, buckets, out=pairs[:-1], mode="clip")
            pairs[words.bounds[1:] - 1] = 0  # the end of one text and the start of the next are no pair
            weights += pairs  # neither is larger than LARGEST_WEIGHT
            counts += np.diff(words.bounds) - 1
        return np.add.reduceat(weights, first, dtype=np.int64), counts


def probability(score: int) -> float:
    """Return the middle of the interval of probabilities that a score stands for."""
    return (score + 0.5) / SCORE_UNITS


def _keep_freed_memory() -> None:
    """Make glibc keep the memory of a batch for the next one: by default it goes back to the system at every batch and
    comes again a page fault at a time, which takes as long as the scoring. The allocator learns it from a large block
    that is freed (mallopt(3), "dynamic mmap threshold"); the block itself is never touched.
    """
    np.empty(_LARGE_BLOCK_BYTES, np.uint8)


def _batches(texts: list[Bytes]) -> Iterator[list[Bytes]]:
    """Cut texts into runs of about _BATCH_BYTES."""
    start = size = 0
    for position, text in enumerate(texts, 1):
        size += len(text)
        if size >= _BATCH_BYTES:
            yield texts[start:position]
            start, size = position, 0
    if start < len(texts):
        yield texts[start:]


@lru_cache(maxsize=1)
def _boundaries() -> np.ndarray:
    """Return ⌈2^20 · ln(k / (65,536 - k))⌉ for k = 1 … 65,535.

    No boundary but the middle one, which is 0, lies within 10^-8 of an integer, and float64 is wrong by 10^-10 at most.
    """
    values = [math.ceil(math.log(k / (SCORE_UNITS - k)) * (1 << LOGIT_BITS)) for k in range(1, SCORE_UNITS)]
    return np.array(values, np.int64)
