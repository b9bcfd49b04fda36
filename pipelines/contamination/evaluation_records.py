"""The records of evaluation sets in their native formats, and what a path of field names finds in one.

In: a file whose name (without `.gz` and the like) tells its format: `.json` one document with its records at a path,
`.csv` and `.tsv` with a row of names, anything else JSON lines. Out: (number, object): lines from 1; in a `.json` file
the records from 1. Whatever is no record stops the work: a hole in a set would give a wrong figure without a word.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipelines.sources.decompression import decompressed
from pipelines.sources.scanner import Scanner
from pipelines.store.errors import GlamError
from pipelines.store.files import open_read

LINE_BYTES = 1 << 28
Record = Mapping[str, Any]
Step = str | int
"""A step of a path: the key of an object, the position in a list, or `*` for every element of a list."""

_COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
_DELIMITERS = {"csv": ",", "tsv": "\t"}


class EvaluationSetError(GlamError):
    """An evaluation set cannot be used; the message names file, line, reason and remedy."""


def file_name(url: str) -> str:
    """Return the name of a file without its folder."""
    return url.rsplit("/", 1)[-1]


def read_records(url: str, records: str = "*") -> Iterator[tuple[int, Record]]:
    """Yield (number from 1, record) of a file.

    Args:
        url: the file, plain or compressed.
        records: path of the records in a `.json` document.

    Raises:
        EvaluationSetError: when the file is damaged, or something in it is no record.
    """
    name = file_name(url)
    for ending in _COMPRESSED:
        name = name.removesuffix(ending)
    form = name.rpartition(".")[2].lower()
    if form == "json":
        numbered = enumerate(values_at(_parsed(url, 1, b"".join(_lines(url))), records.split(".")), 1)
        yield from ((number, _object(url, number, value)) for number, value in numbered)
    elif form in _DELIMITERS:
        yield from _rows(url, _DELIMITERS[form])
    else:
        for number, line in enumerate(_lines(url), 1):
            if line.strip():
                yield number, _object(url, number, _parsed(url, number, line))


def values_at(value: Any, path: Sequence[Step]) -> Iterator[Any]:
    """Yield what is at a path, null left out."""
    if not path:
        if value is not None:
            yield value
    elif path[0] == "*":
        for element in value if isinstance(value, list) else ():
            yield from values_at(element, path[1:])
    elif isinstance(path[0], int):
        if isinstance(value, list) and path[0] < len(value):
            yield from values_at(value[path[0]], path[1:])
    elif isinstance(value, dict) and path[0] in value:
        yield from values_at(value[path[0]], path[1:])


def _lines(url: str) -> Iterator[bytes]:
    with open_read(url) as file:
        scanner, number = Scanner(decompressed(file)), 0
        while not scanner.at_end():
            line, number = scanner.read_line(LINE_BYTES), number + 1
            if not line.endswith(b"\n") and (damage := scanner.take_damage()):
                raise EvaluationSetError(f"{url}: line {number}: {damage.detail}; fetch the file again")
            yield line


def _parsed(url: str, number: int, text: bytes) -> Any:
    try:
        return json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise EvaluationSetError(f"{url}: line {number}: not JSON ({error}); mend or remove it") from error


def _object(url: str, number: int, value: Any) -> Record:
    if not isinstance(value, dict):
        raise EvaluationSetError(f"{url}: line {number}: no JSON object; mend or remove it")
    return value


def _rows(url: str, delimiter: str) -> Iterator[tuple[int, Record]]:
    """Yield the rows of a table with a row of names; of a row over several lines the number is that of its last."""
    try:
        text = b"".join(_lines(url)).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise EvaluationSetError(f"{url}: not UTF-8 ({error}); convert it") from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    names: list[str] = []
    for row in _checked(url, reader):
        if not names:
            names = row
        elif len(row) == len(names):
            yield reader.line_num, dict(zip(names, row, strict=True))
        elif row:
            raise EvaluationSetError(
                f"{url}: line {reader.line_num}: {len(row)} cells, the first row names {len(names)}; mend or remove it"
            )


def _checked(url: str, reader: Any) -> Iterable[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise EvaluationSetError(f"{url}: line {reader.line_num}: {error}; mend or remove it") from error
