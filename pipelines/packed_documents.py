"""Where a document stands in the shards of a version, and which documents stand in its records. It imports no Beam.

A document's shard is given by hash(seed, `order`, id), and a shard's documents are in order of (that hash, id). So the
last document of the records ascends, and the first record that holds a document is found by bisection: a few records
are read, however long the shard is.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pipelines.lookup import Place, VersionDocuments
from pipelines.store.errors import GlamError
from pipelines.store.files import join
from pipelines.store.hashing import KeyedHash
from pipelines.store.sequences import SequenceRecord, decode_sequence
from pipelines.store.tfrecord import ShardReader


class Segment(NamedTuple):
    """A piece of a document in a record.

    Attributes:
        shard: url of the shard.
        record: number of the record in it, from 0.
        id: of the document.
        start: first token of the piece in the record.
        tokens: of the piece; a document's last tokens in a record are the first of the next.
        document_offset: position in the document's own token stream at which the piece begins.
    """

    shard: str
    record: int
    id: bytes
    start: int
    tokens: int
    document_offset: int


def segments_in(shard: str, number: int, record: SequenceRecord) -> list[Segment]:
    """Return the segments of a record, in order."""
    bounds = record.segment_bounds.tolist()
    parts = zip(record.document_ids, bounds, bounds[1:], record.document_offsets.tolist(), strict=False)
    return [Segment(shard, number, id_, start, end - start, offset) for id_, start, end, offset in parts]


def segments_of(identifier: bytes, shards: Sequence[str], token_dtype: str, seed: int) -> list[Segment]:
    """Return where a document stands in a set of shards, in order; nothing if it isn't in them.

    Args:
        identifier: id of the document.
        shards: urls, in order of their numbers.
        token_dtype: of the version.
        seed: of the corpus.
    """
    order = KeyedHash(seed, "order")
    url = shards[order(identifier) % len(shards)]
    reader = ShardReader(url)

    def read(number: int) -> SequenceRecord:
        return decode_sequence(reader.record(number), token_dtype)

    def last(number: int) -> tuple[int, bytes]:
        document = read(number).document_ids[-1]
        return order(document), document

    found: list[Segment] = []
    wanted = (order(identifier), identifier)
    for number in range(bisect_left(range(len(reader)), wanted, key=last), len(reader)):
        here = [part for part in segments_in(url, number, read(number)) if part.id == identifier]
        if not here:
            break
        found += here
    return found


RecordPlace = tuple[str, int]
"""Path of a shard in its version, and the number of a record in it."""


def describe_records(documents: VersionDocuments, places: Sequence[RecordPlace]) -> list[list[dict[str, Any]]]:
    """Return what stands in records of a version's shards: of each, its segments, with what is known of the documents.

    Raises:
        GlamError: when the version has no such shard or record.
    """
    version = documents.version
    readers = {path: ShardReader(join(version.url, _checked(documents, path))) for path in {path for path, _ in places}}
    records = []
    for path, number in places:
        if not 0 <= number < len(readers[path]):
            raise GlamError(f"--record {number}: {path} has {len(readers[path])} records, numbered from 0")
        record = decode_sequence(readers[path].record(number), version.token_dtype)
        records.append(segments_in(path, number, record))
    known = _describe(documents, records)
    return [[{"id": part.id.hex(), **known[part.id], **_position(part)} for part in segments] for segments in records]


def _position(part: Segment) -> dict[str, int]:
    return {name: getattr(part, name) for name in ("start", "tokens", "document_offset")}


def _checked(documents: VersionDocuments, path: str) -> str:
    if path not in _sources_of_shards(documents):
        raise GlamError(
            f"--shard {path}: version {documents.version.name} has no such shard; they are called "
            "train/COMPONENT/part-….tfrecord and heldout/SOURCE/part-….tfrecord (see `glam show`)"
        )
    return path


def _sources_of_shards(documents: VersionDocuments) -> dict[str, list[str]]:
    """Return which sources' documents may stand in each shard of a version, by its path."""
    manifest = documents.version.manifest
    by_component: dict[str, list[str]] = {}
    for entry in manifest["recipe"]["sources"]:
        by_component.setdefault(entry["component"], []).append(entry["source"])
    trained = {path: by_component[name] for name, part in manifest["components"].items() for path in part["shards"]}
    return trained | {path: [source] for source, part in manifest["heldout"].items() for path in part["shards"]}


def _describe(documents: VersionDocuments, records: Sequence[Sequence[Segment]]) -> Mapping[bytes, dict[str, Any]]:
    sources = _sources_of_shards(documents)
    wanted: dict[tuple[str, ...], set[bytes]] = {}
    for segments in records:
        for part in segments:
            wanted.setdefault(tuple(sources[part.shard]), set()).add(part.id)
    places: list[Place] = []
    for names, ids in wanted.items():
        places += documents.places_of(ids, names).values()
    described = documents.documents(places, ["source", "url", "native_key", "title"])
    scores = documents.decisions("quality", places) if "quality" in documents.jobs else [{"score": None}] * len(places)
    return {
        place.id: {**document, "score": scored["score"]}
        for place, document, scored in zip(places, described, scores, strict=True)
    }
