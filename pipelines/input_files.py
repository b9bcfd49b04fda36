"""What extraction made of every input file: the ledger of a source, taken apart by file.

In: the results of the extraction job, `{"url", "counts", "texts", "quarantine"}` of each file. Out: the side file
`files.jsonl` of a source's stage, a line a file in order of path (docs/formats.md, "Documents"); it decides no id.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pipelines.quarantine import count_reasons
from pipelines.store.files import FileDigest, join, read_bytes, write_bytes
from pipelines.store.ledger import build_ledger, check_extraction
from pipelines.store.stages import FinishedStage

FILES = "files.jsonl"


def file_figures(results: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the figures of each input file: path, records, raw_bytes, documents, notes and quarantine by reason.

    Raises:
        LedgerImbalanceError: on the first file that does not balance.
    """
    counts: list[dict[tuple[str, ...], int]] = []
    for result in results:
        if (url := result.get("url")) is None:
            continue
        part: dict[tuple[str, ...], int] = {
            (url, kind, name): 0 for kind in ("records", "raw_bytes") for name in ("read", "used", "quarantined")
        }
        part[url, "documents"] = result["texts"]
        for line in result["counts"]:
            _source, *path, number = line.split("\t")
            part[url, *path] = int(number)
        reasons = count_reasons(result["quarantine"])
        part |= {(url, "quarantine", reason): number for reason, number in reasons.items()}
        counts.append(part)
    ledger = build_ledger(counts)
    for entry in ledger.values():
        for kind in ("records", "raw_bytes"):
            entry[kind].setdefault("skipped", {})
    check_extraction(ledger)
    return [{"path": url, "notes": {}, "quarantine": {}} | entry for url, entry in ledger.items()]


def write_file_figures(url: str, figures: Iterable[Mapping[str, Any]]) -> FileDigest:
    """Write the side file of a stage."""
    return write_bytes(url, "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in figures).encode())


def read_file_figures(stage: FinishedStage) -> list[dict[str, Any]]:
    """Read the figures of each input file of an extraction stage."""
    return [json.loads(line) for line in read_bytes(join(stage.url, FILES)).splitlines()]
