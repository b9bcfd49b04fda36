"""The last step: the decisions on a shard's documents, wherever they were made, become its decision table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from pipelines.corpus import write_decision
from pipelines.documents import DECISION_SCHEMAS, read_table
from pipelines.near_duplicates.records import DECISION, REASONS
from pipelines.near_duplicates.shuffle import load, node_row
from pipelines.store.files import StoreError


class WriteDecisions(beam.DoFn):
    """{`work`, `decisions`, `read`} of an address → result: writes the decision shard.

    It refuses to unless every document has exactly one decision.
    """

    def process(self, joined: tuple[int, dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Write one shard and yield its result; `in` is what the first pass read, the rest what was decided."""
        (work,), (read,) = joined[1]["work"], joined[1]["read"]
        ids = read_table(work["documents"], ["id"]).column("id").combine_chunks()
        decisions = np.sort(load(joined[1]["decisions"], DECISION), order="node")
        if not np.array_equal(node_row(decisions["node"]), np.arange(len(ids))):
            raise StoreError(
                f"{work['documents']}: {len(ids)} documents have {len(decisions)} decisions; "
                "this is a defect of the stage: please report it with the configuration"
            )
        numbers = np.bincount(decisions["reason"], minlength=len(REASONS)).tolist()
        counts = {"in": read} | {reason or "out": number for reason, number in zip(REASONS, numbers, strict=True)}
        yield write_decision(work, _table(ids, decisions), counts)


def _table(ids: pa.Array, decisions: np.ndarray) -> pa.Table:
    missing = decisions["union"] == 0
    present = pa.py_buffer(np.packbits(~missing, bitorder="little").tobytes())
    jaccard = (decisions["intersection"] / np.maximum(decisions["union"], 1)).astype(np.float32)
    hashes = {
        name: pa.Array.from_buffers(pa.binary(16), len(ids), [present, pa.py_buffer(decisions[name].tobytes())])
        for name in ("representative", "cluster")
    }
    columns = {
        "id": ids,
        "reason": pa.array(REASONS, pa.string()).take(pa.array(decisions["reason"])),
        **hashes,
        "cluster_stays": pa.array(decisions["cluster_stays"], pa.int32(), mask=missing),
        "jaccard": pa.array(jaccard, pa.float32(), mask=missing),
    }
    return pa.table(columns, schema=DECISION_SCHEMAS["deduplicate"])
