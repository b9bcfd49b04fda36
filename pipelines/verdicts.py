"""The last word on every document of a version: trained on, held out, or dropped and why. It imports no Beam.

In: a version's documents and decisions. Out: of each document a verdict, and the tokens that the version trains on.
Verdicts are `train`; a split that nothing is trained on (`heldout`, `out_of_domain`); or the reason of the job that
dropped the document, as in the ledger (docs/formats.md, "Decisions"), `not_in_mixture` where its component is none of
the version's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.documents import CHOICES, VARIANT_JOBS
from pipelines.lookup import VersionDocuments

TRAIN, HELD_OUT = "train", ("heldout", "out_of_domain")
NOT_IN_MIXTURE = "not_in_mixture"


class Judged(NamedTuple):
    """Documents of a shard, row for row.

    Attributes:
        columns: what was asked for, and `id`.
        verdicts: string.
        tokens: int64, with the document start and without what is over the most that a document may give; 0 where the
            version has none of the document.
    """

    columns: dict[str, Any]
    verdicts: pa.Array
    tokens: np.ndarray

    def of(self, verdicts: Sequence[str]) -> np.ndarray:
        """Return the rows (numbers) that have one of these verdicts."""
        mask = pc.is_in(self.verdicts, value_set=pa.array(list(verdicts), pa.string()))
        return np.flatnonzero(mask.to_numpy(zero_copy_only=False))


class Verdicts:
    """The verdicts of a version on its documents.

    Args:
        documents: of the version.
    """

    def __init__(self, documents: VersionDocuments) -> None:
        self.documents = documents
        manifest = documents.version.manifest
        self.component_of = {entry["source"]: entry["component"] for entry in manifest["recipe"]["sources"]}
        self._variants = {name: part["variant"] for name, part in manifest["components"].items()}
        self._most_tokens: Mapping[str, int] = manifest["recipe"]["pack"]["max_tokens"]

    def jobs(self, source: str) -> tuple[str, ...]:
        """Return the jobs that decide on a source's documents, in their order."""
        variant = self._variants.get(self.component_of[source], "all")
        decided = [job for job in ("deduplicate", "holdout", "decontaminate") if job in self.documents.jobs]
        return (*decided, *VARIANT_JOBS[variant])

    def read(
        self,
        source: str,
        shard: int,
        columns: Sequence[str] = (),
        decisions: Mapping[str, Sequence[str]] | None = None,
    ) -> Iterator[Judged]:
        """Stream a shard's documents with their verdicts.

        Args:
            source: its source.
            shard: its number.
            columns: of the documents.
            decisions: further columns of decisions, by job.
        """
        jobs = self.jobs(source)
        wanted = {"tokenize": {"count"}} | {job: {_column(job)} for job in jobs}
        for job, names in (decisions or {}).items():
            wanted.setdefault(job, set()).update(names)
        read = {job: sorted(names) for job, names in wanted.items()}
        for batch in self.documents.batches(source, shard, columns, read):
            verdicts = self._judge(source, jobs, batch)
            yield Judged(batch, verdicts, self._tokens(source, verdicts, batch["tokenize.count"]))

    def _judge(self, source: str, jobs: Sequence[str], batch: Mapping[str, Any]) -> pa.Array:
        splits = batch["decontaminate.split" if "decontaminate" in jobs else "holdout.split"]
        verdicts = pc.coalesce(batch["deduplicate.reason"], splits)
        train = pc.equal(verdicts, TRAIN)
        if self.component_of[source] not in self._variants:
            return pc.if_else(train, NOT_IN_MIXTURE, verdicts)
        for job, (column, reason) in CHOICES.items():
            if job in jobs:
                dropped = pc.and_(train, pc.invert(batch[f"{job}.{column}"].fill_null(False)))
                verdicts = pc.if_else(dropped, reason, verdicts)
        return verdicts

    def _tokens(self, source: str, verdicts: pa.Array, counts: pa.Array) -> np.ndarray:
        tokens = counts.fill_null(0).to_numpy().astype(np.int64)
        trained = pc.equal(verdicts, TRAIN).to_numpy(zero_copy_only=False)
        held = pc.is_in(verdicts, value_set=pa.array(HELD_OUT)).to_numpy(zero_copy_only=False)
        most = self._most_tokens.get(self.component_of[source])
        if most is not None:
            tokens = np.where(trained, np.minimum(tokens, most), tokens)
        return np.where(trained | held, tokens + 1, 0)


def _column(job: str) -> str:
    if job in CHOICES:
        return CHOICES[job][0]
    return "reason" if job == "deduplicate" else "split"
