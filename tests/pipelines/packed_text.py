"""The documents of a dataset version as a trainer reads them."""

from __future__ import annotations

from pathlib import Path

from pipelines.store.sequences import decode_sequence
from pipelines.store.tfrecord import ShardReader
from pipelines.store.versions import Version
from tokenizer.encode import Encoder


def packed_texts_of(version: Version, component: str) -> dict[bytes, str]:
    """Return the text of every training document of a component by id."""
    encoder = Encoder(Path(version.tokenizer_url).read_bytes())
    streams: dict[bytes, list[int]] = {}
    for shard in version.components[component].shards:
        reader, last = ShardReader(shard), None
        for number in range(len(reader)):
            record = decode_sequence(reader.record(number), version.token_dtype)
            tokens = record.tokens.tolist()
            bounds = zip(record.document_ids, record.segment_bounds[:-1], record.segment_bounds[1:], strict=True)
            for identifier, start, end in bounds:
                shared = start == 0 and identifier == last  # a record's first token is the last of the one before
                streams.setdefault(identifier, []).extend(tokens[start + shared : end])
                last = identifier
    return {
        identifier: encoder.decode([token for token in tokens if token != encoder.document_start_id])
        for identifier, tokens in streams.items()
    }
