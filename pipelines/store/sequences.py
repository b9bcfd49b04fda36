"""The training record: one packed sequence with its segments (docs/formats.md, "Sequence record").

S sequence length. A record holds S + 1 token ids: inputs are the first S, targets the last S.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.store.hashing import DIGEST_BYTES
from pipelines.store.tfrecord import decode_example, encode_example

FEATURES = ("document_ids", "document_offsets", "segment_bounds", "tokens")


@dataclass(frozen=True)
class SequenceRecord:
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
    return encode_example(
        {
            "document_ids": b"".join(record.document_ids),
            "document_offsets": np.asarray(record.document_offsets, "<u4").tobytes(),
            "segment_bounds": np.asarray(record.segment_bounds, "<u4").tobytes(),
            "tokens": record.tokens.astype(little, copy=False).tobytes(),
        }
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
    bounds = np.frombuffer(features["segment_bounds"], "<u4")
    offsets = np.frombuffer(features["document_offsets"], "<u4")
    if len(ids) != DIGEST_BYTES * len(offsets) or len(bounds) != len(offsets) + 1:
        raise ValueError(
            f"{len(ids)} bytes of document ids, {len(offsets)} offsets and {len(bounds)} bounds do not fit"
        )
    tokens = np.frombuffer(features["tokens"], np.dtype(token_dtype).newbyteorder("<"))
    return SequenceRecord(
        tokens, bounds, [ids[i : i + DIGEST_BYTES] for i in range(0, len(ids), DIGEST_BYTES)], offsets
    )
