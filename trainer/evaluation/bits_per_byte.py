"""Bits per byte of held-out documents: what a model needs to tell each text, by source and document.

In: a run folder (or parameters) and a dataset version. Out: for every held-out source the bits and bytes of each
document, kept in RUN/heldout.parquet. No choice of an expert is dropped here, so a document's bits do not depend on
what it is batched with. A document's bits are the cross-entropies of all its tokens, the first one after the document
start alone; each token is predicted from what precedes it in its record of S tokens.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.store.errors import GlamError
from pipelines.store.files import exists, join, open_read, read_bytes, write_bytes
from pipelines.store.sequences import SequenceRecord
from pipelines.store.versions import HeldOut, Version
from tokenizer.encode import Encoder
from trainer.batch import Batch
from trainer.checkpoints import load_decoder
from trainer.config import ModelSettings
from trainer.data import Records, assemble, in_batches
from trainer.evaluation.checkpoint import require_finished
from trainer.evaluation.token_scores import compiled_token_scores
from trainer.model.parameters import Decoder
from trainer.run_folder import read_run

_NATS_PER_BIT = math.log(2)
_FILE = "heldout.parquet"
_METADATA = b"glam"

OnTokens = Callable[[int, int], None]
"""Called with the tokens scored and the tokens in all."""


@dataclass(frozen=True)
class SourceScores:
    """The held-out documents of a source, in order of their shards.

    Attributes:
        component: that the source counts to.
        out_of_domain: whether nothing of the source was trained on.
        ids: the 16-byte ids.
        bits: (documents,) float64, bits that the model needs for each text.
        bytes: (documents,) int64, length of each text in UTF-8.
        tokens: (documents,) int64.
    """

    component: str
    out_of_domain: bool
    ids: list[bytes]
    bits: np.ndarray
    bytes: np.ndarray
    tokens: np.ndarray

    @property
    def bits_per_byte(self) -> float:
        """Bits of all documents over bytes of all documents."""
        return float(self.bits.sum() / self.bytes.sum())


def evaluate(run_dir: str, version: Version, on_tokens: OnTokens | None = None) -> dict[str, SourceScores]:
    """Score a finished run on a version's held-out documents, or return the scores that the folder has.

    Args:
        run_dir: folder of the run.
        version: of the same tokenizer as the one trained on.
        on_tokens: told how it goes.

    Raises:
        GlamError: when the run is not finished, or the version is not one that its model can read.
    """
    config, result = require_finished(run_dir, version)
    path = join(run_dir, _FILE)
    origin = {"weights": result.weights, "version": version.id, "code": read_run(run_dir)["code"]}
    if exists(path) and (saved := read_scores(path, origin)) is not None:
        return saved
    decoder = load_decoder(run_dir, config.model, version.vocabulary_size)
    scores = score_heldout(decoder, config.model, version, config.training.batch_rows, on_tokens)
    write_scores(path, scores, origin)
    return scores


def score_heldout(
    decoder: Decoder, model: ModelSettings, version: Version, rows: int, on_tokens: OnTokens | None = None
) -> dict[str, SourceScores]:
    """Score the held-out documents of every source of a version, `rows` records at a time."""
    piece_bytes = Encoder(read_bytes(version.tokenizer_url), version.tokenizer_url).piece_bytes()
    program = compiled_token_scores(model)
    total = sum(entry.tokens for entry in version.heldout.values())
    done = 0
    scores = {}
    for source, entry in sorted(version.heldout.items()):
        scorer = _SourceScorer(piece_bytes)
        records = Records(entry.shards, version.token_dtype)
        for chunk in in_batches((records[number] for number in range(len(records))), rows):
            batch = assemble(chunk, rows, version.sequence_length)
            nats = np.asarray(program(decoder, batch).nats, np.float64)
            scorer.add(chunk, nats, batch)
            done += int(batch.counted.sum())
            if on_tokens is not None:
                on_tokens(done, total)
        scores[source] = scorer.finish(entry, version)
    return scores


class _SourceScorer:
    """Sums records up to documents."""

    def __init__(self, piece_bytes: np.ndarray) -> None:
        self._piece_bytes = piece_bytes
        self._sums: dict[bytes, list[float]] = {}

    def add(self, records: list[SequenceRecord], nats: np.ndarray, batch: Batch) -> None:
        lengths = self._piece_bytes[batch.targets] * batch.counted
        for row, record in enumerate(records):
            (identifier,) = record.document_ids  # a held-out record has one segment
            sums = self._sums.setdefault(identifier, [0.0, 0, 0])
            sums[0] += float(nats[row].sum())
            sums[1] += int(lengths[row].sum())
            sums[2] += int(batch.counted[row].sum())

    def finish(self, entry: HeldOut, version: Version) -> SourceScores:
        """Return the scores, after a check against what the manifest says of the source."""
        columns = list(zip(*self._sums.values(), strict=True))
        counted = (len(self._sums), sum(columns[1]))
        if counted != (entry.documents, entry.bytes):
            raise GlamError(
                f"{version.url}: the shards of held-out source {entry.source} hold {counted[0]} documents and "
                f"{counted[1]} bytes, the manifest says {entry.documents} and {entry.bytes}; "
                f"run `glam verify {version.id}` and build again"
            )
        return SourceScores(
            component=entry.component,
            out_of_domain=entry.out_of_domain,
            ids=list(self._sums),
            bits=np.array(columns[0]) / _NATS_PER_BIT,
            bytes=np.array(columns[1], np.int64),
            tokens=np.array(columns[2], np.int64),
        )


def write_scores(path: str, scores: dict[str, SourceScores], origin: dict[str, Any]) -> None:
    """Write scores as Parquet: a row a document, the sources' facts and `origin` in the metadata."""
    facts = {
        source: {"component": entry.component, "out_of_domain": entry.out_of_domain} for source, entry in scores.items()
    }
    rows = list(_rows(scores))
    schema = pa.schema(
        [
            ("source", pa.string()),
            ("id", pa.binary(16)),
            ("bits", pa.float64()),
            ("bytes", pa.int64()),
            ("tokens", pa.int64()),
        ],
        metadata={_METADATA: json.dumps({"origin": origin, "sources": facts}, sort_keys=True)},
    )
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer, compression="zstd")
    write_bytes(path, buffer.getvalue())


def _rows(scores: dict[str, SourceScores]) -> Iterator[dict[str, Any]]:
    for source, entry in scores.items():
        for identifier, bits, size, tokens in zip(entry.ids, entry.bits, entry.bytes, entry.tokens, strict=True):
            yield {"source": source, "id": identifier, "bits": bits, "bytes": size, "tokens": tokens}


def read_scores(path: str, origin: dict[str, Any] | None = None) -> dict[str, SourceScores] | None:
    """Read scores; None when they are not of `origin` (if given)."""
    with open_read(path) as file:
        table = pq.read_table(pa.BufferReader(file.read()))
    metadata = json.loads(table.schema.metadata[_METADATA])
    if origin is not None and metadata["origin"] != origin:
        return None
    sources = np.array(table["source"].to_pylist())
    scores = {}
    for source, facts in metadata["sources"].items():
        part = table.filter(pa.array(sources == source))
        scores[source] = SourceScores(
            **facts,
            ids=part["id"].to_pylist(),
            bits=part["bits"].to_numpy(),
            bytes=part["bytes"].to_numpy(),
            tokens=part["tokens"].to_numpy(),
        )
    return scores
