"""Evaluation sets: from their files to the texts that are looked for.

In: JSON lines, plain or compressed, and the fields that make an example's text. Out: one Example a line; its text is
the fields in order, each normalized as the documents are, joined by line feeds. N-grams run over the whole of it, as
GPT-3's do. A line that is no object stops the work: a hole in an evaluation set would be reported as clean.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.contamination.settings import FOLDER, DecontaminateSettings, EvaluationSet
from pipelines.sources.decompression import decompressed
from pipelines.sources.locate import fill_folder, locate
from pipelines.sources.scanner import Scanner
from pipelines.store.errors import GlamError
from pipelines.store.files import open_read
from pipelines.text import normalize_text

LINE_BYTES = 1 << 28


class EvaluationSetError(GlamError):
    """An evaluation set cannot be used; the message names file, line, reason and remedy."""


@dataclass(frozen=True)
class Example:
    """One example: its file's name, its line in it (from 1), and its text."""

    file: str
    line: int
    text: str


def find_sets(settings: DecontaminateSettings) -> dict[str, list[str]]:
    """Return the files of every set by task, in order of their names; none where a set has no file.

    Raises:
        EvaluationSetError: when a folder is given and no set has a file in it.
    """
    found = {name: _files(entry, settings.folder) for name, entry in sorted(settings.sets.items())}
    if settings.folder is not None and not any(found.values()):
        raise EvaluationSetError(
            f"decontaminate.folder = {settings.folder!r}: no file of any evaluation set is there; give the folder that "
            f"holds them, e.g. {next(iter(settings.sets.values())).files[0] if settings.sets else 'TASK.jsonl'}"
        )
    return found


def _files(entry: EvaluationSet, folder: str | None) -> list[str]:
    patterns = [pattern for pattern in entry.files if folder is not None or FOLDER not in pattern]
    found = locate(fill_folder(pattern, FOLDER, folder or "") for pattern in patterns)
    return sorted(found, key=lambda url: (_name(url), url))


def _name(url: str) -> str:
    return url.rsplit("/", 1)[-1]


def read_examples(task: str, files: Iterable[str], fields: Iterable[str]) -> Iterator[Example]:
    """Yield the examples of a set in order.

    Raises:
        EvaluationSetError: when a file is damaged, a line is no object, or a field is in no example.
    """
    paths = {field: field.split(".") for field in fields}
    missing = set(paths)
    keys: list[str] = []
    for url in files:
        for line, value in _objects(url):
            parts: list[str] = []
            for field, path in paths.items():
                texts = list(_texts(value, path))
                missing -= {field} if texts else set()
                parts += map(normalize_text, texts)
            keys = keys or sorted(value)
            yield Example(_name(url), line, "\n".join(filter(None, parts)))
    if missing and keys:
        raise EvaluationSetError(
            f"decontaminate.sets.{task}: no example has a text under {', '.join(sorted(missing))}; the first has the "
            f"keys {', '.join(keys)}: mend `fields`"
        )


def _objects(url: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield (line from 1, object) of a file; blank lines hold none."""
    with open_read(url) as file:
        scanner, number = Scanner(decompressed(file)), 0
        while not scanner.at_end():
            line, number = scanner.read_line(LINE_BYTES), number + 1
            if not line.endswith(b"\n") and (damage := scanner.take_damage()):
                raise EvaluationSetError(f"{url}: line {number}: {damage.detail}; fetch the file again")
            if not line.strip():
                continue
            try:
                value = json.loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError) as error:
                raise EvaluationSetError(f"{url}: line {number}: not JSON ({error}); mend or remove it") from error
            if not isinstance(value, dict):
                raise EvaluationSetError(f"{url}: line {number}: no JSON object; mend or remove it")
            yield number, value


def _texts(value: Any, path: list[str]) -> Iterator[str]:
    """Yield the strings and numbers at a path; `*` stands for every element of a list."""
    if not path:
        if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
            yield str(value)
    elif path[0] == "*" and isinstance(value, list):
        for element in value:
            yield from _texts(element, path[1:])
    elif isinstance(value, dict) and path[0] in value:
        yield from _texts(value[path[0]], path[1:])
