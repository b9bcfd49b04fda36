"""Evaluation sets: from their files to the texts that are looked for.

In: records in their native formats and the fields that make an example's text. Out: one Example a record; its text is
the fields in order, each normalized as the documents are, joined by line feeds. N-grams run over the whole of it, as
GPT-3's do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pipelines.contamination.evaluation_records import EvaluationSetError, file_name, read_records, values_at
from pipelines.contamination.settings import FOLDER, DecontaminateSettings
from pipelines.sources.locate import fill_folder, locate
from pipelines.text import normalize_text


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
    found = {name: files_of(entry.files, settings.folder) for name, entry in sorted(settings.sets.items())}
    if settings.folder is not None and not any(found.values()):
        raise EvaluationSetError(
            f"decontaminate.folder = {settings.folder!r}: no file of any evaluation set is there; give the folder that "
            f"holds them, e.g. {next(iter(settings.sets.values())).files[0] if settings.sets else 'TASK.jsonl'}"
        )
    return found


def files_of(patterns: Iterable[str], folder: str | None) -> list[str]:
    """Return the files that patterns fit, in order of their names; those of the folder only if there is one."""
    wanted = [pattern for pattern in patterns if folder is not None or FOLDER not in pattern]
    found = locate(fill_folder(pattern, FOLDER, folder or "") for pattern in wanted)
    return sorted(found, key=lambda url: (file_name(url), url))


def read_examples(task: str, files: Iterable[str], fields: Iterable[str], records: str = "*") -> Iterator[Example]:
    """Yield the examples of a set in order.

    Args:
        task: for errors.
        files: of the set.
        fields: paths of the texts.
        records: see `read_records`.

    Raises:
        EvaluationSetError: when a file is damaged, a line is no object, or a field is in no example.
    """
    paths = {field: field.split(".") for field in fields}
    missing = set(paths)
    keys: list[str] = []
    for url in files:
        for line, value in read_records(url, records):
            parts: list[str] = []
            for field, path in paths.items():
                texts = [str(text) for text in values_at(value, path) if _is_text(text)]
                missing -= {field} if texts else set()
                parts += map(normalize_text, texts)
            keys = keys or sorted(value)
            yield Example(file_name(url), line, "\n".join(filter(None, parts)))
    if missing and keys:
        raise EvaluationSetError(
            f"decontaminate.sets.{task}: no example has a text under {', '.join(sorted(missing))}; the first has the "
            f"keys {', '.join(keys)}: mend `fields`"
        )


def _is_text(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)
