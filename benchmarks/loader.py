"""Tokens a CPU second from shards to training batches: our loader, and tf.data reading the same shards, in one run.

    python benchmarks/loader.py

A version of two components is written with the project's own writers from real text, S = 1,024. Ours: shuffled and
mixed batches of any step (inputs, targets, segments, which targets count), every record's CRC checked. Peer:
`tf.data.TFRecordDataset`, the tokens of each record parsed and batched in the order of the files, one record or a
batch of records parsed at a time; it neither shuffles nor makes segments.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from figures import Figure, show
from real_text import pages

from pipelines.store.hashing import content_hash
from pipelines.store.sequences import SequenceRecord, encode_sequence
from pipelines.store.tfrecord import ShardWriter
from pipelines.store.versions import Version
from tokenizer.encode import Encoder
from tokenizer.packing import pack
from tokenizer.settings import TokenizerSettings
from tokenizer.train import train_tokenizer
from trainer.data import TrainingData

NAME = "loader"
SEQUENCE_LENGTH = 1024
ROWS = 64
STEPS = 200
WARM_UP_STEPS = 20
SHARDS = 4
WEIGHTS = {"books": 0.3, "web": 0.7}
GOAL = 20e6
UNIT = "M tokens / CPU s"


def write_version(folder: Path) -> Version:
    """Write a version of two components, the pages of either half of the text."""
    documents = pages()
    model = train_tokenizer(documents[:: max(1, len(documents) // 800)], TokenizerSettings(vocabulary_size=4096))
    encoder = Encoder(model)
    half = len(documents) // 2
    parts = {"books": documents[:half], "web": documents[half:]}
    components = {name: _write_component(folder, name, parts[name], encoder) for name in parts}
    facts = {"name": NAME, "sequence_length": SEQUENCE_LENGTH, "token_dtype": encoder.dtype.name}
    return Version(str(folder), {**facts, "components": components, "side": {}})


def _write_component(folder: Path, name: str, documents: list[str], encoder: Encoder) -> dict:
    encoded = list(zip(map(content_hash, documents), encoder.encode_batch(documents), strict=True))
    shards, records = [], 0
    for number in range(SHARDS):
        path = f"{name}-{number}.tfrecord"
        with ShardWriter(str(folder / path)) as writer:
            for sequence in pack(encoded[number::SHARDS], SEQUENCE_LENGTH, 2, 0):
                writer.write(encode_sequence(SequenceRecord(*sequence)))
            records += writer.records
        shards.append(path)
    figures = {"records": records, "tokens": records * SEQUENCE_LENGTH, "documents": len(documents), "tokens_cut": 0}
    return {"weight": WEIGHTS[name], "variant": "all", **figures, "shards": shards}


def rate(batches: Iterable[object]) -> float:
    """Return tokens a CPU second over STEPS batches, after some to warm up."""
    iterator = iter(batches)
    for _ in islice(iterator, WARM_UP_STEPS):
        pass
    start = time.process_time()
    read = sum(1 for _ in islice(iterator, STEPS))
    return read * ROWS * SEQUENCE_LENGTH / (time.process_time() - start)


def ours(version: Version) -> Iterator[object]:
    """Yield our batches."""
    data = TrainingData(version, ROWS, seed=1)
    return (data.batch(step) for step in range(WARM_UP_STEPS + STEPS))


def theirs(version: Version, parse_batches: bool) -> Iterator[object]:
    """Yield tf.data's batches of tokens."""
    import tensorflow as tf

    spec = {"tokens": tf.io.FixedLenFeature([], tf.string)}
    dtype = tf.dtypes.as_dtype(version.token_dtype)
    parse = tf.io.parse_example if parse_batches else tf.io.parse_single_example

    def decode(records: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.io.decode_raw(parse(records, spec)["tokens"], dtype), tf.int32)

    files = [url for component in version.components.values() for url in component.shards]
    records = tf.data.TFRecordDataset(files).repeat()
    batches = records.batch(ROWS).map(decode) if parse_batches else records.map(decode).batch(ROWS)
    return batches.as_numpy_iterator()


def main() -> None:
    """Run all and print the figures."""
    with tempfile.TemporaryDirectory() as name:
        version = write_version(Path(name))
        records = sum(component.records for component in version.components.values())
        size = f"{records:,} records of {SEQUENCE_LENGTH:,} tokens, {ROWS} a batch"
        assert np.asarray(next(iter(ours(version)))[0]).shape == (ROWS, SEQUENCE_LENGTH)
        our_rate = rate(ours(version))
        peers = {
            "tf.data, a record at a time": rate(theirs(version, parse_batches=False)),
            "tf.data, a batch at a time": rate(theirs(version, parse_batches=True)),
        }
    goal = f">= {GOAL / 1e6:.0f}"
    show(
        [
            Figure(NAME, "shuffled, mixed batches, CRC checked", our_rate / 1e6, UNIT, goal, our_rate >= GOAL, size),
            *(Figure(NAME, f"{peer}, in file order", value / 1e6, UNIT) for peer, value in peers.items()),
        ]
    )


if __name__ == "__main__":
    main()
