"""The training record: one packed sequence with its segments (docs/formats.md, "Sequence record").

S sequence length. A record holds S + 1 token ids: inputs are the first S, targets the last S.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from pipelines.store.hashing import DIGEST_BYTES
from pipelines.store.tfrecord import decode_example, encode_example

_UINT32 = np.dtype("<u4")
FEATURES = ("document_ids", "document_offsets", "segment_bounds", "tokens")


class SequenceRecord(NamedTuple):
    """One packed sequence.

    Attributes:
        tokens: (S + 1,) token ids, padded after the real ones.
        segment_bounds: (segments + 1,) uint32: first token of each segment, then the number of real tokens.
        document_ids: the 16-byte id of each segment's document.
        document_offsets: (segments,) uint32: where in the document's own token stream each segment begins.
    """

    tokens: np.ndarray
    segment_bounds: np.ndarray
    document_ids: list[bytes]
    document_offsets: np.ndarray


def encode_sequence(record: SequenceRecord) -> bytes:
    """Serialize a record; `tokens` are written in the dtype they have (uint16 or uint32)."""
    little = record.tokens.dtype.newbyteorder("<")
    layout = _layout(len(record.document_ids), len(record.tokens), little)
    return layout.join(
        b"".join(record.document_ids),
        np.asarray(record.document_offsets, _UINT32).tobytes(),
        np.asarray(record.segment_bounds, _UINT32).tobytes(),
        record.tokens.astype(little, copy=False).tobytes(),
    )


def decode_sequence(payload: bytes, token_dtype: str) -> SequenceRecord:
    """Parse a record.

    Raises:
        ValueError: when a feature is missing or the features do not fit one another.
    """
    features = decode_example(payload)
    missing = [name for name in FEATURES if name not in features]
    if missing:
        raise ValueError(f"the record lacks the features {', '.join(missing)}")
    ids = features["document_ids"]
    bounds = np.frombuffer(features["segment_bounds"], _UINT32)
    offsets = np.frombuffer(features["document_offsets"], _UINT32)
    if len(ids) != DIGEST_BYTES * len(offsets) or len(bounds) != len(offsets) + 1:
        raise ValueError(
            f"{len(ids)} bytes of document ids, {len(offsets)} offsets and {len(bounds)} bounds do not fit"
        )
    tokens = np.frombuffer(features["tokens"], np.dtype(token_dtype).newbyteorder("<"))
    return SequenceRecord(
        tokens, bounds, [ids[i : i + DIGEST_BYTES] for i in range(0, len(ids), DIGEST_BYTES)], offsets
    )


class SequenceReader:
    """Reads tokens and segments of many records at once.

    Equal numbers of segments give payloads of equal length that differ in their features' contents alone. So the places
    of the contents are worked out once a length, and other records of it are cut there, after a look at the bytes in
    between; a payload that is written otherwise is parsed in full.
    """

    def __init__(self, sequence_length: int, token_dtype: str) -> None:
        self._tokens = sequence_length + 1
        self._name = token_dtype
        self._dtype = np.dtype(token_dtype).newbyteorder("<")
        self._layouts: dict[int, _Layout] = {}

    def read(self, payloads: Sequence[bytes]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return tokens (records, S + 1) in their dtype, and the segment bounds of each record (uint32).

        Raises:
            ValueError: when a payload is not a record of this length.
        """
        contents = list(map(self._contents, payloads))
        tokens = np.frombuffer(b"".join([tokens for _, tokens in contents]), self._dtype)
        return tokens.reshape(-1, self._tokens), [np.frombuffer(bounds, _UINT32) for bounds, _ in contents]

    def _contents(self, payload: bytes) -> tuple[bytes, bytes]:
        """Return the contents of `segment_bounds` and `tokens`."""
        layout = self._layouts.get(len(payload))
        if layout is not None and layout.fits(payload):
            return payload[layout.bounds], payload[layout.tokens]
        record = decode_sequence(payload, self._name)
        if len(record.tokens) != self._tokens:
            raise ValueError(f"the record has {len(record.tokens)} tokens, not {self._tokens}")
        self._layouts[len(payload)] = _layout(len(record.document_offsets), self._tokens, self._dtype)
        return record.segment_bounds.tobytes(), record.tokens.tobytes()


class _Layout:
    """Where the contents of the features lie in the payload of a record with so many segments and tokens."""

    def __init__(self, segments: int, tokens: int, dtype: np.dtype) -> None:
        lengths = (segments * DIGEST_BYTES, segments * 4, (segments + 1) * 4, tokens * dtype.itemsize)
        zeros = encode_example({name: bytes(length) for name, length in zip(FEATURES, lengths, strict=True)})
        ones = encode_example({name: b"\xff" * length for name, length in zip(FEATURES, lengths, strict=True)})
        differing = np.flatnonzero(np.frombuffer(zeros, np.uint8) != np.frombuffer(ones, np.uint8))
        ends = np.cumsum(lengths)
        starts = differing[ends - lengths].tolist()
        contents = [slice(start, start + length) for start, length in zip(starts, lengths, strict=True)]
        _, _, self.bounds, self.tokens = contents
        between = [slice(0, starts[0]), *(slice(one.stop, other.start) for one, other in pairwise(contents))]
        self._between = [(place, zeros[place]) for place in between]

    def join(self, ids: bytes, offsets: bytes, bounds: bytes, tokens: bytes) -> bytes:
        """Return the payload with these contents; they have the layout's lengths."""
        (_, one), (_, two), (_, three), (_, four) = self._between
        return b"".join((one, ids, two, offsets, three, bounds, four, tokens))

    def fits(self, payload: bytes) -> bool:
        """Tell whether a payload of this length is a record written like this."""
        return all(payload[place] == expected for place, expected in self._between)


@lru_cache(maxsize=1 << 14)
def _layout(segments: int, tokens: int, dtype: np.dtype) -> _Layout:
    return _Layout(segments, tokens, dtype)
