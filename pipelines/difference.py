"""The difference of two dataset versions: configuration, stages, and every document and token gained or lost.

In: two versions A and B of one store or of two. Out: the answer of `glam diff` (docs/formats.md). A document is *lost*
where A trains on it and B does not, and *gained* the other way round; the reason is the other side's verdict on it
(pipelines/verdicts.py), `absent` where that side extracted no such document. Documents of both sides are matched by
id, a shard at a time where both have as many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.documents import ids_of
from pipelines.lookup import Place, VersionDocuments
from pipelines.store.versions import Version
from pipelines.verdicts import TRAIN, Verdicts

ABSENT = "absent"
SAMPLES = 3
"""Documents that are shown of each (change, source, reason): those of the least ids."""

_ROW = np.dtype([("id", "V16"), ("verdict", "i2"), ("tokens", "i8"), ("shard", "i4"), ("row", "i8")])


def configuration_changes(a: Mapping[str, Any], b: Mapping[str, Any], prefix: str = "") -> list[dict[str, Any]]:
    """Return the keys at which two recipes differ, dotted, with both values; one that is not there is null."""
    changes = []
    for key in sorted(a.keys() | b.keys()):
        left, right = _by_source(a.get(key)), _by_source(b.get(key))
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            changes += configuration_changes(left, right, f"{prefix}{key}.")
        elif left != right:
            changes.append({"key": f"{prefix}{key}", "a": left, "b": right})
    return changes


def _by_source(value: Any) -> Any:
    """Return a list of tables that each name a source as one table by source; anything else as it is."""
    if isinstance(value, list) and value and all(isinstance(item, Mapping) and "source" in item for item in value):
        return {item["source"]: {key: inner for key, inner in item.items() if key != "source"} for item in value}
    return value


class Difference:
    """What two versions differ in.

    Args:
        a: documents of the one.
        b: documents of the other.
    """

    def __init__(self, a: VersionDocuments, b: VersionDocuments) -> None:
        self._a, self._b = Verdicts(a), Verdicts(b)

    def to_json(self, on_source: Callable[[int], object] | None = None) -> dict[str, Any]:
        """Return the whole answer; `on_source` is called with the number of sources compared so far."""
        versions = {name: side.documents.version for name, side in (("a", self._a), ("b", self._b))}
        sources = sorted(set(self._a.documents.sources) | set(self._b.documents.sources))
        by_source, changes = {}, []
        for number, source in enumerate(sources, 1):
            by_source[source], found = self._source(source)
            changes += found
            if on_source is not None:
                on_source(number)
        return {
            **{side: {"id": v.id, "name": v.name, "tokens": _tokens(v)} for side, v in versions.items()},
            "same": versions["a"].id == versions["b"].id,
            "configuration": configuration_changes(*(version.manifest["recipe"] for version in versions.values())),
            "components": _components(versions["a"], versions["b"]),
            "sources": by_source,
            "changes": changes,
        }

    def _source(self, source: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return the totals of a source on both sides, and its changes by reason."""
        totals = {side: {"documents": 0, "tokens": 0} for side in ("a", "b", "gained", "lost")}
        changes: dict[tuple[str, str], dict[str, Any]] = {}
        codes = _Codes()
        for left, right in self._pairs(source, codes):
            for side, table in (("a", left), ("b", right)):
                _add(totals[side], table[table["verdict"] == codes.train])
            for change, here, there in (("lost", left, right), ("gained", right, left)):
                for verdict, rows in _trained_here_only(here, there, codes):
                    _add(totals[change], rows)
                    entry = changes.setdefault((change, codes.names[verdict]), _no_change(change, source))
                    entry["reason"] = codes.names[verdict]
                    _add(entry, rows)
                    entry["rows"] = sorted([*entry["rows"], *rows[:SAMPLES].tolist()])[:SAMPLES]
        for entry in changes.values():
            verdicts = self._a if entry["change"] == "lost" else self._b
            entry["samples"] = _samples(verdicts.documents, source, entry.pop("rows"))
        before, after = (
            totals[side]["tokens"] - totals[change]["tokens"] for side, change in (("a", "lost"), ("b", "gained"))
        )
        kept = totals["a"]["documents"] - totals["lost"]["documents"]
        totals["kept"] = {"documents": kept, "tokens": before, "tokens_changed": after - before}
        found = sorted(changes.values(), key=lambda entry: (entry["change"], -entry["documents"], entry["reason"]))
        return totals, found

    def _pairs(self, source: str, codes: _Codes) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the rows of both sides, a shard at a time where they have as many shards, else all at once."""
        counts = [s.documents.count(source) if source in s.documents.sources else 0 for s in (self._a, self._b)]
        if counts[0] == counts[1]:
            for shard in range(counts[0]):
                yield _read(self._a, source, [shard], codes), _read(self._b, source, [shard], codes)
        else:
            yield _read(self._a, source, range(counts[0]), codes), _read(self._b, source, range(counts[1]), codes)


class _Codes:
    """Small numbers for verdicts."""

    def __init__(self) -> None:
        self.names: list[str] = [TRAIN, ABSENT]
        self.train, self.absent = 0, 1

    def of(self, verdicts: pa.Array) -> np.ndarray:
        """Return the number of each verdict."""
        encoded = verdicts.dictionary_encode()
        self.names += [name for name in encoded.dictionary.to_pylist() if name not in self.names]
        numbers = [self.names.index(name) for name in encoded.dictionary.to_pylist()]
        return np.array(numbers, np.int16)[encoded.indices.to_numpy()]


def _read(side: Verdicts, source: str, shards: Iterable[int], codes: _Codes) -> np.ndarray:
    """Return the documents of some shards, sorted by id."""
    parts = [np.empty(0, _ROW)]
    for shard in shards:
        start = 0
        for judged in side.read(source, shard):
            rows = np.empty(len(judged.tokens), _ROW)
            rows["id"] = ids_of(judged.columns["id"])
            rows["verdict"] = codes.of(judged.verdicts)
            rows["tokens"], rows["shard"] = judged.tokens, shard
            rows["row"] = np.arange(start, start + len(rows))
            start += len(rows)
            parts.append(rows)
    table = np.concatenate(parts)
    return table[np.argsort(_sortable(table["id"]), kind="stable")]


def _sortable(ids: np.ndarray) -> np.ndarray:
    """Return ids (V16) as two big-endian numbers each, which numpy can order."""
    return np.ascontiguousarray(ids).view([("high", ">u8"), ("low", ">u8")]).reshape(-1)


def _trained_here_only(here: np.ndarray, there: np.ndarray, codes: _Codes) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the other side's verdict and the rows with it, of the documents that only this side trains on."""
    trained = here[here["verdict"] == codes.train]
    others = np.full(len(trained), codes.absent)
    if len(there):
        keys, wanted = _sortable(there["id"]), _sortable(trained["id"])
        at = np.minimum(np.searchsorted(keys, wanted), len(there) - 1)
        same = there["id"][at] == trained["id"]
        others[same] = there["verdict"][at[same]]
    for verdict in np.unique(others).tolist():
        if verdict != codes.train:
            yield verdict, trained[others == verdict]


def _add(total: dict[str, Any], rows: np.ndarray) -> None:
    total["documents"] += len(rows)
    total["tokens"] += int(rows["tokens"].sum())


def _no_change(change: str, source: str) -> dict[str, Any]:
    return {"change": change, "source": source, "reason": "", "documents": 0, "tokens": 0, "rows": []}


def _samples(documents: VersionDocuments, source: str, rows: Iterable[tuple[Any, ...]]) -> list[dict[str, Any]]:
    places = [Place(source, shard, row, bytes(identifier)) for identifier, _, _, shard, row in rows]
    described = documents.documents(places, ["url", "native_key", "title"])
    tokens = [row[2] for row in rows]
    return [
        {"id": place.id.hex(), **document, "tokens": number}
        for place, document, number in zip(places, described, tokens, strict=True)
    ]


def _tokens(version: Version) -> int:
    return sum(component.tokens for component in version.components.values())


def _components(a: Version, b: Version) -> dict[str, Any]:
    """Return variant, weight, documents and tokens of each component on both sides; null where one has it not."""
    figures = ("variant", "weight", "documents", "tokens")
    sides = [v.manifest["components"] for v in (a, b)]
    return {
        name: {
            side: {figure: part[name][figure] for figure in figures} if name in part else None
            for side, part in zip("ab", sides, strict=True)
        }
        for name in sorted(set(sides[0]) | set(sides[1]))
    }
