"""How many nats a model needs to tell whole documents, and which experts it sends their tokens to.

In: documents as token ids. Out: a record for each: {"example" (number from 0), "document" (its id), "tokens", "words"
(runs without blanks), "bytes", "nats", "beside" (documents read with it), and of a mixture model "load", "dropped",
"entropy" (`trainer.evaluation.expert_load`)}. Long documents are read by windows of the model's context that slide on
by a stride: every token is predicted once, from all that its window has before it. What routers did is told of the
token that stands before each predicted one, so of every token once too.

Documents are read and kept in chunks that follow from their order alone, so that work that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trainer.evaluation.checkpoint import CheckpointModel, Reading
from trainer.evaluation.evaluated_model import LikelihoodRequest
from trainer.evaluation.expert_load import routed_sums
from trainer.evaluation.record_file import Record, RecordFile
from trainer.evaluation.windows import text_windows
from trainer.model.routing import TokenRouting

CHUNK_TOKENS = 1 << 15
"""Documents whose tokens come to this are read and kept together."""


@dataclass(frozen=True)
class Document:
    """A whole text: its tokens are int32, the document start first."""

    id: str
    text: str
    tokens: np.ndarray


def read_documents(
    model: CheckpointModel,
    documents: Iterable[Document],
    stride: int,
    file: RecordFile,
    on_tokens: Callable[[int], None],
) -> list[Record]:
    """Return the records of documents, in their order; those that the file has are not made again.

    Args:
        model: that reads.
        documents: never without a token after the document start.
        stride: targets of every window but the first of a document, at most the context.
        file: keeps the records.
        on_tokens: called with the tokens that were read since the last time.
    """
    kept = file.read()
    records: list[Record] = []
    for chunk in _chunks(documents):
        numbers = range(len(records), len(records) + len(chunk))
        if not all(number in kept and kept[number]["beside"] == len(chunk) for number in numbers):
            made = _read(model, chunk, stride, numbers.start)
            file.append(made)
            kept |= {record["example"]: record for record in made}
        records += [kept[number] for number in numbers]
        on_tokens(sum(len(document.tokens) - 1 for document in chunk))
    return records


def _chunks(documents: Iterable[Document]) -> Iterator[list[Document]]:
    chunk: list[Document] = []
    tokens = 0
    for document in documents:
        chunk.append(document)
        tokens += len(document.tokens)
        if tokens >= CHUNK_TOKENS:
            yield chunk
            chunk, tokens = [], 0
    if chunk:
        yield chunk


def _read(model: CheckpointModel, chunk: Sequence[Document], stride: int, first: int) -> list[Record]:
    windows = [list(text_windows(document.tokens, model.context, stride)) for document in chunk]
    readings = iter(model.read([LikelihoodRequest(*window) for own in windows for window in own]))
    read = [[next(readings) for _ in own] for own in windows]
    routing = [joined for own in read if (joined := _joined(own)) is not None]
    routed = routed_sums(routing, model.settings) if routing else [{}] * len(chunk)
    return [
        {
            "example": number,
            "document": document.id,
            "tokens": len(document.tokens) - 1,
            "words": len(document.text.split()),
            "bytes": len(document.text.encode()),
            "nats": float(sum(reading.nats.sum() for reading in own)),
            "beside": len(chunk),
            **sums,
        }
        for number, (document, own, sums) in enumerate(zip(chunk, read, routed, strict=True), first)
    ]


def _joined(readings: Sequence[Reading]) -> TokenRouting | None:
    """Join what the windows of a document tell of its tokens' routing; None of a dense model."""
    parts = [reading.routing for reading in readings if reading.routing is not None]
    return TokenRouting(*(np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True))) if parts else None
