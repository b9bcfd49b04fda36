"""What a model answered, example by example: RUN/evaluation/TASK/….jsonl, appended while the work goes on.

The first line says of what the answers are, the others are one answer each. A file of something else is begun anew; a
last line that was cut off when the work was stopped is done again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.store.errors import GlamError

Record = dict[str, Any]


class RecordFile:
    """The answers of one model to one task in one way of asking.

    Args:
        path: of the file; None keeps nothing.
        origin: what the answers are a function of.
    """

    def __init__(self, path: str | None, origin: Mapping[str, Any]) -> None:
        self._path = Path(path) if path else None
        self._origin = json.dumps({"origin": origin}, sort_keys=True)

    def read(self) -> dict[int, Record]:
        """Return the answers there are by the example's number, and make the file ready for more."""
        if self._path is None:
            return {}
        lines = self._path.read_text(encoding="utf-8").splitlines(True) if self._path.exists() else []
        whole = [line for line in lines if line.endswith("\n")]
        if not whole or whole[0].rstrip("\n") != self._origin:
            whole = [self._origin + "\n"]
        if whole != lines:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text("".join(whole), encoding="utf-8")
        return {record["example"]: record for record in self._parsed(whole[1:])}

    def _parsed(self, lines: Iterable[str]) -> Iterator[Record]:
        for number, line in enumerate(lines, 2):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise GlamError(
                    f"{self._path}: line {number} is damaged ({error}); delete the file to ask its examples again"
                ) from error

    def append(self, records: Iterable[Record]) -> None:
        """Write more answers."""
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(record) + "\n" for record in records)
