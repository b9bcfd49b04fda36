"""Finding single documents of a dataset version, and what was decided of them, from the files of its stages.

In: a version of a store; a URL, a native key, the beginning of a document id, or FILE:OFFSET, the place of its record.
Out: places (source, shard, row), and the columns asked for at a place. Only the columns needed are read: an id names
its shard, and a row its row group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.documents import (
    DECISION_SCHEMAS,
    LEFT_OUT_SCHEMA,
    PROVENANCE_SCHEMA,
    ROW_GROUP_ROWS,
    damaged,
    read_batches,
    read_table,
)
from pipelines.record_places import RecordPlace, files_called, known_records, like_file, tell_file
from pipelines.store.errors import GlamError
from pipelines.store.files import StoreError, join, open_read
from pipelines.store.hashing import DIGEST_BYTES, part_name, shard_of
from pipelines.store.stages import FinishedStage, read_manifest
from pipelines.store.versions import Version

LEAST_DIGITS = 6
"""Hexadecimal digits of an id that are taken for its beginning; fewer are too easily a word."""

_SHARD_DIGITS = 16
_THREADS = 8
_MOST_COMPARED = 5000
_SIDE_SCHEMAS = {"provenance": PROVENANCE_SCHEMA, "left_out": LEFT_OUT_SCHEMA}


@dataclass(frozen=True, order=True)
class Place:
    """Where a document and the decisions on it are."""

    source: str
    shard: int
    row: int
    id: bytes


class VersionDocuments:
    """The documents that a version was made from, those that it dropped included.

    Args:
        store_url: the store.
        version: one of its versions.
    """

    def __init__(self, store_url: str, version: Version) -> None:
        self.version = version
        self._sources: dict[str, FinishedStage] = {}
        self._decisions: dict[str, FinishedStage] = {}
        for name in version.manifest["stages"]:
            url = join(store_url, "stages", name)
            if name.startswith("extract/"):
                stage = FinishedStage(url, read_manifest(url, "stage"))
                self._sources[stage.manifest["recipe"]["source"]] = stage
            elif (job := name.partition("/")[0]) in DECISION_SCHEMAS:
                self._decisions[job] = FinishedStage(url, read_manifest(url, "stage"))

    @property
    def extraction(self) -> dict[str, dict[str, Any]]:
        """The ledger of extraction by source."""
        return {source: stage.ledger[source] for source, stage in sorted(self._sources.items())}

    @property
    def jobs(self) -> frozenset[str]:
        """The decision jobs that the version was made with."""
        return frozenset(self._decisions)

    def decision_stage(self, job: str) -> FinishedStage:
        """Return the stage of a decision job."""
        return self._decisions[job]

    @property
    def sources(self) -> dict[str, FinishedStage]:
        """The extraction stage of each source, in order of name."""
        return dict(sorted(self._sources.items()))

    def shards(self, sources: Iterable[str] | None = None) -> list[tuple[str, int]]:
        """Return every (source, shard) of `sources` (all by default), in order."""
        chosen = sorted(self._sources) if sources is None else sorted(sources)
        return [(source, shard) for source in chosen for shard in range(self.count(source))]

    def count(self, source: str) -> int:
        """Return the number of shards of a source."""
        return len(self._sources[source].paths("documents/"))

    def batches(
        self, source: str, shard: int, columns: Sequence[str], decisions: Mapping[str, Sequence[str]]
    ) -> Iterator[dict[str, Any]]:
        """Stream columns of a shard's documents and decisions (`pipelines.documents.read_batches`)."""
        urls = {job: (self._decision_url(job, source, shard), names) for job, names in decisions.items()}
        yield from read_batches(self._document_url(source, shard), columns, urls)

    def left_out(self, reference: str) -> list[dict[str, Any]]:
        """Return the records that gave no document and whose native key is `reference` or begins with its words, or
        that begin there, if it has the form FILE:OFFSET.

        A record's native key may go on after its URL, as in WARC files with the date.
        """
        place = RecordPlace.parse(reference)

        def read(shard: tuple[str, int]) -> list[dict[str, Any]]:
            table = self._side("left_out", *shard)
            key = table["native_key"]
            wanted = pc.or_(pc.equal(key, reference), pc.starts_with(key, f"{reference} "))
            if place and (files := files_called(self._sources[shard[0]], place.file)):
                wanted = pc.or_(wanted, place.rows(table, files))
            return [{"source": shard[0], **row} for row in table.filter(wanted).to_pylist()]

        with ThreadPoolExecutor(_THREADS) as pool:
            return [row for rows in pool.map(read, self.shards()) for row in rows]

    def provenance(self, place: Place) -> list[dict[str, Any]]:
        """Return file and offset of every copy of a document."""
        table = self._side("provenance", place.source, place.shard)
        rows = table.filter(pc.equal(table["id"], pa.scalar(place.id, table.schema.field("id").type)))
        return rows.select(["file", "offset"]).to_pylist()

    def tell_place(self, reference: str) -> str | None:
        """Say what is next to FILE:OFFSET where no record begins, or what FILE holds; None where it names no file."""
        place = RecordPlace.parse(reference)
        name, offset = place or (reference, None)
        for source, stage in self.sources.items():
            for path in files_called(stage, name):
                tables = {kind: [self._side(kind, *shard) for shard in self.shards([source])] for kind in _SIDE_SCHEMAS}
                return tell_file(stage, path, offset, known_records(path, **tables))
        near = like_file(self._sources.values(), name) if place else []
        return f"no input file is called {name}; did you mean {' or '.join(near)}?" if near else None

    def _side(self, kind: str, source: str, shard: int) -> pa.Table:
        """Return a shard of a side table of extraction: `provenance` or `left_out`."""
        path = f"{kind}/{self._part(source, shard)}"
        side = self._sources[source].manifest["side"]["files"]
        if not any(file["path"] == path and file["rows"] for file in side):
            return _SIDE_SCHEMAS[kind].empty_table()
        return read_table(join(self._sources[source].url, path))

    def places_of(self, ids: Iterable[bytes], sources: Iterable[str]) -> dict[bytes, Place]:
        """Return where documents of some sources are, by id; one that is in none of them is left out."""
        wanted: dict[tuple[str, int], set[bytes]] = {}
        chosen = sorted(sources)
        for identifier in ids:
            for source in chosen:
                wanted.setdefault((source, shard_of(identifier, self.count(source))), set()).add(identifier)
        found = {}
        for (source, shard), table in self._read(wanted, (), self._document_url):
            rows = pc.index_in(pa.array(sorted(wanted[source, shard]), table.schema.field("id").type), table["id"])
            for identifier, row in zip(sorted(wanted[source, shard]), rows.to_pylist(), strict=True):
                if row is not None:
                    found[identifier] = Place(source, shard, row, identifier)
        return found

    def find(self, reference: str) -> list[Place]:
        """Return the documents whose URL or native key is `reference`, or whose id begins with it, or whose record
        begins there, if it has the form FILE:OFFSET; sorted.

        Raises:
            GlamError: when `reference` is empty, as the native key of many documents is.
        """
        if not reference:
            raise GlamError(
                "an empty name names no document; give a URL, a native key, the beginning of an id, or FILE:OFFSET"
            )
        digits = reference.lower()
        whole = self._find_id(digits) if len(digits) == 2 * DIGEST_BYTES else []  # it names its shard: little is read
        return whole or self._find_named(reference) or self._find_id(digits) or self._find_at(reference)

    def _find_named(self, reference: str) -> list[Place]:
        return self._search(
            self.shards(),
            ("url", "native_key"),
            lambda table: pc.or_kleene(
                pc.fill_null(pc.equal(table["url"], reference), False), pc.equal(table["native_key"], reference)
            ),
        )

    def _find_at(self, reference: str) -> list[Place]:
        place, found = RecordPlace.parse(reference), list[Place]()
        for source, stage in self.sources.items():
            if place and (files := files_called(stage, place.file)):
                tables = (self._side("provenance", *shard) for shard in self.shards([source]))
                ids = {row for table in tables for row in table.filter(place.rows(table, files))["id"].to_pylist()}
                found += self.places_of(ids, [source]).values()
        return sorted(found)

    def _find_id(self, digits: str) -> list[Place]:
        if not LEAST_DIGITS <= len(digits) <= 2 * DIGEST_BYTES or set(digits) - set("0123456789abcdef"):
            return []
        low = bytes.fromhex(digits.ljust(2 * DIGEST_BYTES, "0"))
        high = bytes.fromhex(digits.ljust(2 * DIGEST_BYTES, "f"))
        shards = self.shards()
        if len(digits) >= _SHARD_DIGITS:
            shards = [(source, shard) for source, shard in shards if shard == shard_of(low, self.count(source))]
        return self._search(
            shards,
            (),
            lambda table: [low <= identifier <= high for identifier in table["id"].to_pylist()],
        )

    def members(self, cluster: bytes) -> list[Place]:
        """Return the documents of a duplicate cluster, sorted."""
        wanted = pa.scalar(cluster, pa.binary(DIGEST_BYTES))
        return self._search(
            self.shards(),
            ("cluster",),
            lambda table: pc.fill_null(pc.equal(table["cluster"], wanted), False),
            partial(self._decision_url, "deduplicate"),
        )

    def documents(self, places: Sequence[Place], columns: Sequence[str]) -> list[dict[str, Any]]:
        """Return columns of the documents at these places, in their order."""
        return self._read_rows(self._document_url, places, ["id", *columns])

    def decisions(self, job: str, places: Sequence[Place]) -> list[dict[str, Any]]:
        """Return what a job decided of the documents at these places, by column."""
        return self._read_rows(partial(self._decision_url, job), places, None)

    def like(self, address: str, most: int = 3) -> list[str]:
        """Return URLs of documents that are much like `address`, the most similar first."""
        host = urlsplit(address if "://" in address else f"//{address}").hostname or address
        urls: set[str] = set()
        for _, table in self._read(self.shards(), ("url",), self._document_url):
            column = table["url"]
            near = pc.fill_null(pc.match_substring(column, _bare(host), ignore_case=True), False)
            urls.update(column.filter(near).to_pylist())
        same = sorted(url for url in urls if _bare(url) == _bare(address))
        return same[:most] or get_close_matches(address, sorted(urls)[:_MOST_COMPARED], most)

    def _part(self, source: str, shard: int) -> str:
        return part_name(shard, self.count(source), ".parquet")

    def _document_url(self, source: str, shard: int) -> str:
        return join(self._sources[source].url, "documents", source, self._part(source, shard))

    def _decision_url(self, job: str, source: str, shard: int) -> str:
        return join(self._decisions[job].url, "decisions", source, self._part(source, shard))

    def _read(
        self, shards: Iterable[tuple[str, int]], columns: Sequence[str], url_of: Callable[[str, int], str]
    ) -> Iterable[tuple[tuple[str, int], pa.Table]]:
        with ThreadPoolExecutor(_THREADS) as pool:
            yield from pool.map(lambda shard: (shard, read_table(url_of(*shard), ["id", *columns])), shards)

    def _search(
        self,
        shards: Iterable[tuple[str, int]],
        columns: Sequence[str],
        matches: Callable[[pa.Table], Any],
        url_of: Callable[[str, int], str] | None = None,
    ) -> list[Place]:
        """Return the rows of shards at which `matches`, a mask over a table of `id` and `columns`, is true."""
        found = []
        for (source, shard), table in self._read(shards, columns, url_of or self._document_url):
            if not table.num_rows:  # of no rows at all, pyarrow's `indices_nonzero` ends the process
                continue
            mask = matches(table)
            rows = pc.indices_nonzero(mask if isinstance(mask, pa.ChunkedArray) else pa.array(mask, pa.bool_()))
            ids = table["id"].take(rows).to_pylist()
            found += [Place(source, shard, row, id_) for row, id_ in zip(rows.to_pylist(), ids, strict=True)]
        return sorted(found)

    def _read_rows(
        self, url_of: Callable[[str, int], str], places: Sequence[Place], columns: Sequence[str] | None
    ) -> list[dict[str, Any]]:
        groups: dict[tuple[str, int], list[Place]] = {}
        for place in places:
            groups.setdefault((url_of(place.source, place.shard), place.row // ROW_GROUP_ROWS), []).append(place)
        with ThreadPoolExecutor(_THREADS) as pool:
            parts = pool.map(lambda key: _rows_of_group(key[0], key[1], groups[key], columns), groups)
            rows = {place: row for part in parts for place, row in part.items()}
        return [rows[place] for place in places]


def _rows_of_group(
    url: str, group: int, places: Sequence[Place], columns: Sequence[str] | None
) -> dict[Place, dict[str, Any]]:
    try:
        with open_read(url) as file:
            table = pq.ParquetFile(file).read_row_group(group, columns)
    except (pa.ArrowException, OSError) as error:
        raise damaged(url, error) from error
    rows = table.take(pa.array([place.row % ROW_GROUP_ROWS for place in places])).to_pylist()
    for place, row in zip(places, rows, strict=True):
        if row.pop("id") != place.id:
            raise StoreError(f"{url}: row {place.row} is not {place.id.hex()}; delete its stage's folder, build again")
    return dict(zip(places, rows, strict=True))


def _bare(url: str) -> str:
    """Return an address without what people leave out or vary: scheme, `www.`, fragment, last slash, case."""
    rest = url.split("://", 1)[-1].split("#", 1)[0].lower()
    return rest.removeprefix("www.").rstrip("/")
