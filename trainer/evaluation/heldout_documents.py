"""The held-out documents of a version, whole, and what the pipeline decided of them.

In: a version's held-out shards, and the decisions of the stages that it was made of. Out: `Document`s by source, and
`Labels` by document id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from pipelines.lookup import VersionDocuments
from pipelines.store.versions import HeldOut, Version
from tokenizer.encode import Encoder
from trainer.data import Records
from trainer.evaluation.language_modelling import Document


class Labels(NamedTuple):
    """What the pipeline says of a document: its language, and its quality score in 1/65,536 where it has one."""

    language: str
    score: int | None


def heldout_documents(entry: HeldOut, version: Version, encoder: Encoder) -> Iterator[Document]:
    """Yield the documents of a held-out source, in the order of its shards."""
    records = Records(entry.shards, version.token_dtype)
    identifier: bytes | None = None
    parts: list[np.ndarray] = []
    for number in range(len(records)):
        record = records[number]
        (own,) = record.document_ids  # a held-out record has one segment
        tokens = record.tokens[: record.segment_bounds[-1]].astype(np.int32)
        if own != identifier:
            if identifier is not None:
                yield _document(identifier, parts, encoder)
            identifier, parts = own, [tokens]
        else:
            parts.append(tokens[1:])  # the first of a record is the last of the one before
    if identifier is not None:
        yield _document(identifier, parts, encoder)


def _document(identifier: bytes, parts: list[np.ndarray], encoder: Encoder) -> Document:
    tokens = np.concatenate(parts)
    return Document(identifier.hex(), encoder.decode(tokens[1:]), tokens)


def labels_of(store_url: str, version: Version, documents: Mapping[str, Iterable[str]]) -> dict[str, Labels]:
    """Return the labels of documents by id.

    Args:
        store_url: that holds the version's stages.
        version: that the documents are held out of.
        documents: ids by source; a source that the stages do not know is left out.

    Raises:
        GlamError: when a stage of the version is missing or damaged.
    """
    known = VersionDocuments(store_url, version)
    sources = known.sources
    labels = {}
    for source, ids in documents.items():
        if source not in sources:
            continue
        places = list(known.places_of(map(bytes.fromhex, ids), [source]).values())
        languages = [row["language"] for row in known.documents(places, ["language"])]
        scores = [row["score"] for row in known.decisions("quality", places)] if "quality" in known.jobs else None
        for place, language, score in zip(places, languages, scores or [None] * len(places), strict=True):
            labels[place.id.hex()] = Labels(language, score)
    return labels
