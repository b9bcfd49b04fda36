"""Records by their place, FILE:OFFSET: how one is asked for that has no name, as those in quarantine often have none.

In: a place as `quarantine.jsonl`, the messages of a build and `glam explain` tell it, and the extraction of a source.
Out: the source's input files that are meant, and which rows of its side tables (docs/formats.md, "Documents") stand
there; for a place without a record, what is next to it.
"""

from __future__ import annotations

import posixpath
import re
from bisect import bisect
from collections.abc import Collection, Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple, Self

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.input_files import read_file_figures
from pipelines.store.stages import FinishedStage

_PLACE = re.compile(r"(.+?)(?::|,? offset )([0-9]{1,18}|[0-9]{1,3}(?:,[0-9]{3}){1,5})")
_SHOWN = 3
_LIKE = 0.75

DOCUMENT = "a document"
"""What `known_records` calls the outcome of a record that gave one."""


class RecordPlace(NamedTuple):
    """The first byte of a record, as people write it: `FILE:OFFSET`, or `FILE, offset 1,234` as it is printed."""

    file: str
    offset: int

    @classmethod
    def parse(cls, reference: str) -> Self | None:
        """Return the place that a reference has the form of, if it has."""
        found = _PLACE.fullmatch(reference)
        return found and cls(found[1], int(found[2].replace(",", "")))

    def rows(self, table: pa.Table, files: Collection[str]) -> pa.ChunkedArray:
        """Return a mask of the rows of a table with `file` and `offset` that stand here in one of `files`."""
        named = pc.is_in(table["file"], value_set=pa.array(sorted(files), pa.string()))
        return pc.and_(named, pc.equal(table["offset"], self.offset))


def files_called(stage: FinishedStage, name: str) -> list[str]:
    """Return the input files of an extraction whose path is `name`, or ends with it where it is a relative one."""
    ending = f"/{name.removeprefix('./')}"
    paths = [file["path"] for file in stage.manifest["side"]["input_files"]]
    return [path for path in paths if path == name or (not name.startswith("/") and path.endswith(ending))]


def like_file(stages: Iterable[FinishedStage], name: str) -> list[str]:
    """Return input files whose names, without folders, are much like that of `name`, the most similar first."""
    paths = [file["path"] for stage in stages for file in stage.manifest["side"]["input_files"]]
    by_name = {posixpath.basename(path): path for path in sorted(paths, reverse=True)}
    near = get_close_matches(posixpath.basename(name), sorted(by_name), _SHOWN, cutoff=_LIKE)
    return [by_name[found] for found in near]


def known_records(path: str, provenance: Iterable[pa.Table], left_out: Iterable[pa.Table]) -> list[tuple[int, str]]:
    """Return offset and outcome of the records of an input file that the side tables of its source name, in order:
    `a document`, or the reason for which one was left out.
    """

    def rows(tables: Iterable[pa.Table]) -> Iterator[dict[str, Any]]:
        for table in tables:
            yield from table.filter(pc.equal(table["file"], path)).to_pylist()

    outcomes = {row["offset"]: row["reason"] for row in rows(left_out)}
    return sorted((outcomes | {row["offset"]: DOCUMENT for row in rows(provenance)}).items())


def tell_file(stage: FinishedStage, path: str, offset: int | None, known: Sequence[tuple[int, str]]) -> str:
    """Say what an input file holds, and which records are next to a place where none begins, or may be asked for.

    Args:
        stage: the extraction of the file's source.
        path: of the file.
        offset: that was asked for, if one was.
        known: records of the file (`known_records`).
    """
    if offset is None:
        shown = ([record for record in known if record[1] != DOCUMENT] or known)[:_SHOWN]
        told = f"an input file of {stage.manifest['recipe']['source']}; ask for a record of it by its first byte"
    else:
        at = bisect(known, (offset, ""))
        shown = known[max(0, at - 1) : at + 1]
        told = "no record that gave a document or was left out begins there; the nearest are"
    examples = ", ".join(f"{path}:{start} ({outcome})" for start, outcome in shown) or "none"
    figures = next(file for file in read_file_figures(stage) if file["path"] == path)
    counts = {"used": figures["records"]["used"], **figures["records"]["skipped"]}
    counts["quarantined"] = figures["records"]["quarantined"]
    sums = ", ".join(f"{name} {number:,}" for name, number in counts.items() if number) or "none"
    joined = figures["notes"].get("joined", 0)
    others = f"; {joined:,} of those used are in the document of another record" if joined else ""
    return f"{told}: {examples}. Its records: {sums}{others}"
