"""A document without the spans that were cut out of it: what is trained on.

Spans are [start, end) in characters of the document's text, in order. The pieces between them, without blanks at their
ends, are joined by empty lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

Span = tuple[int, int]


def pieces_between(text: str, spans: Sequence[Sequence[int]]) -> list[Span]:
    """Return what is between the spans, without blanks at the ends; empty pieces are none."""
    limits = [0, *(limit for span in spans for limit in span), len(text)]
    pieces = []
    for start, end in zip(limits[::2], limits[1::2], strict=True):
        piece = text[start:end]
        start += len(piece) - len(piece.lstrip())
        end -= len(piece) - len(piece.rstrip())
        if end > start:
            pieces.append((start, end))
    return pieces


def text_without(text: str, spans: Sequence[Sequence[int]] | None) -> str:
    """Return a text without spans; the text itself where there are none."""
    if not spans:
        return text
    return "\n\n".join(text[start:end] for start, end in pieces_between(text, spans))


def trained_texts(batch: Mapping[str, Any]) -> pa.Array:
    """Return a batch's texts without the spans of the decision `training`, if it was read."""
    texts, spans = batch["text"], batch.get("training.spans")
    if spans is None or spans.null_count == len(spans):
        return texts
    pairs = zip(texts.to_pylist(), spans.to_pylist(), strict=True)
    return pa.array([text_without(text, cut) for text, cut in pairs], texts.type)
