"""Real files for the readers' tests, and counting what a reader says of a file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from pipelines.sources.errors import SourceError
from pipelines.sources.locate import locate
from pipelines.sources.record import Quarantined, Record, Skipped


@pytest.fixture(scope="session")
def corpus() -> Path:
    folder = os.environ.get("GLAM_CORPUS")
    if not folder:
        pytest.skip("GLAM_CORPUS is not set: no real crawl and dump files")
    return Path(folder)


@pytest.fixture
def write(tmp_path):
    """Write a file and return its path."""

    def write(content: bytes, name: str = "file") -> str:
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    return write


@pytest.fixture
def installed():
    """Locate files that packages of the `demo` extra brought; skip where they are not installed."""

    def find(*patterns: str) -> list[str]:
        try:
            return locate(patterns)
        except SourceError as error:
            pytest.skip(str(error))

    return find


@pytest.fixture
def tally():
    """Count records by outcome: `used`, `joined` to another, the reason of a skip, `!reason` of a quarantine."""

    def count(records: Iterable[Record]) -> Counter[str]:
        counts: Counter[str] = Counter()
        for record in records:
            match record.outcome:
                case Skipped(reason):
                    counts[reason] += 1
                case Quarantined(reason, detail, records=records_lost):
                    assert detail
                    counts[f"!{reason}"] += records_lost
                case used:
                    assert all(text.text for text in used.texts)
                    assert bool(used.texts) != ("joined" in used.notes)
                    counts["used" if used.texts else "joined"] += 1
        return counts

    return count
