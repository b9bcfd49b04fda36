"""Records that cannot be read: how they are kept beside a source's documents, and when they forbid to go on.

`quarantine.jsonl` has a line for each: file, offset, reason, detail, `records` where it stands for several, and
`rest_is_lost` where nobody knows how many records the rest of the file held. Such a file counts as one record, however
much of it is missing, so the error budget cannot speak for it: it refuses the build until it is mended or accepted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipelines.config import Extract
from pipelines.sources.errors import SourceError
from pipelines.sources.record import Quarantined, Record
from pipelines.store.files import join, read_bytes, write_bytes
from pipelines.store.stages import FinishedStage, StoredFile

QUARANTINE = "quarantine.jsonl"

Entry = dict[str, Any]


def quarantine_entry(url: str, record: Record) -> Entry:
    """Return the line of a quarantined record of a file."""
    assert isinstance(record.outcome, Quarantined)
    outcome = record.outcome
    entry = {"file": url, "offset": record.offset, "reason": outcome.reason, "detail": outcome.detail}
    several = {"records": outcome.records} if outcome.records > 1 else {}
    return entry | several | ({"rest_is_lost": True} if outcome.rest_is_lost else {})


def gather_quarantine(results: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """Return the lines of all files of a source, in order."""
    entries = [entry for result in results for entry in result.get("quarantine", ())]
    return sorted(entries, key=lambda entry: (entry["file"], entry["offset"], entry["reason"]))


def write_quarantine(url: str, entries: list[Entry]) -> StoredFile:
    """Write the lines into a stage's folder."""
    data = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries).encode()
    return StoredFile.of(QUARANTINE, write_bytes(join(url, QUARANTINE), data), rows=len(entries))


def read_quarantine(stage: FinishedStage) -> list[Entry]:
    """Return the lines of a finished extraction."""
    return [json.loads(line) for line in read_bytes(join(stage.url, QUARANTINE)).splitlines()]


def check_quarantine(
    source: str, settings: Extract, records: Mapping[str, Any], url: str, entries: list[Entry]
) -> None:
    """Refuse a source that lost too much; `records` are those of its ledger, `url` is its stage's folder.

    Raises:
        SourceError: when more records than the error budget allows are in quarantine, or a file is cut.
    """
    kept = f"All are in {join(url, QUARANTINE)}"
    if records["quarantined"] > settings.error_budget * records["read"]:
        raise SourceError(
            f"source {source}: {records['quarantined']} of {records['read']} records cannot be read, more than "
            f"extract.error_budget = {settings.error_budget:g} allows; the first: {_told(entries[0])}. {kept}; mend "
            "the files or raise the budget"
        )
    cut = [entry for entry in entries if entry.get("rest_is_lost")]
    if cut and not settings.accept_cut_files:
        raise SourceError(
            f"source {source}: files cut or damaged to their end: {len({entry['file'] for entry in cut})}, and nobody "
            f"knows how many records they lack; the first: {_told(cut[0])}. {kept}; fetch the files again, or go on "
            "with what they have by extract.accept_cut_files = true"
        )


def count_reasons(entries: Iterable[Entry]) -> Counter[str]:
    """Return the number of records in quarantine by reason."""
    reasons: Counter[str] = Counter()
    for entry in entries:
        reasons[entry["reason"]] += entry.get("records", 1)
    return reasons


def quarantine_told(records: Mapping[str, Any], url: str, entries: Iterable[Entry]) -> Iterator[str]:
    """Yield what a user must know of the quarantine, though it does not stop the build."""
    if reasons := count_reasons(entries):
        told = ", ".join(f"{reason} {number}" for reason, number in sorted(reasons.items()))
        count = f"{records['quarantined']} of {records['read']} records are in quarantine"
        yield f"{count} ({told}): {join(url, QUARANTINE)}"


def _told(entry: Entry) -> str:
    return f"{entry['file']}, offset {entry['offset']}, {entry['reason']}: {entry['detail']}"
