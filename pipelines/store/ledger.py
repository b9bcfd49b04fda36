"""The conservation ledger: what came in, what went out, and why the rest did not.

Jobs count by elements of their own (a retried bundle counts once); the driver adds the counts up here and refuses an
imbalance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pipelines.store.errors import GlamError

Counts = Mapping[tuple[str, ...], int]
"""Counts by path in the ledger, e.g. {("enwiki", "documents", "dropped", "language"): 3}."""


class LedgerImbalanceError(GlamError):
    """What came in is not what went out plus what was dropped; the message names stage, source and figures."""


def build_ledger(counts: Iterable[Counts]) -> dict[str, Any]:
    """Add counts up into a nested dictionary with sorted keys."""
    totals: dict[tuple[str, ...], int] = {}
    for part in counts:
        for path, number in part.items():
            totals[path] = totals.get(path, 0) + number
    ledger: dict[str, Any] = {}
    for path in sorted(totals):
        node = ledger
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = totals[path]
    return ledger


def check_extraction(ledger: Mapping[str, Any]) -> None:
    """Check records (and raw bytes) read = used + skipped + quarantined for each source.

    Raises:
        LedgerImbalanceError: on the first source that does not balance.
    """
    for source, entry in ledger.items():
        for kind in ("records", "raw_bytes"):
            counts = entry[kind]
            accounted = counts["used"] + sum(counts["skipped"].values()) + counts["quarantined"]
            if counts["read"] != accounted:
                raise LedgerImbalanceError(
                    f"extract, source {source}: {counts['read']} {kind} were read, {accounted} are accounted for "
                    f"({dict(counts)}); "
                    "this is a defect of the reader: please report it with the file"
                )


def check_documents(stage: str, ledger: Mapping[str, Any]) -> None:
    """Check documents in = out + dropped by reason for each source.

    Raises:
        LedgerImbalanceError: on the first source that does not balance.
    """
    for source, entry in ledger.items():
        counts = entry["documents"]
        accounted = counts["out"] + sum(counts["dropped"].values())
        if counts["in"] != accounted:
            raise LedgerImbalanceError(
                f"{stage}, source {source}: {counts['in']} documents went in, {accounted} are accounted for "
                f"({dict(counts)}); "
                "this is a defect of the stage: please report it with the configuration"
            )
