"""The systems that benchmarks/deduplication.py compares: each reads document shards and says which documents go.

In: a folder of Parquet shards with the columns `native_key` (the document's name) and `text`. Out: the names of the
documents that the system removes. Every peer runs as its own documentation shows, with 14 bands of 8 rows (datatrove's
and FineWeb's setting) over word 5-grams, and takes the later of two similar documents away; none verifies a pair.

text-dedup is not here: its author retires the PyPI package, which pins old versions of what datatrove needs.
"""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pyarrow.parquet as pq

BANDS, ROWS, THRESHOLD, SEED, SHINGLE_WORDS = 14, 8, 0.8, 1, 5
WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class System:
    """A system to measure: what it is called, how it runs, the modules it imports and the packages that bring them."""

    label: str
    run: Callable[[Path], set[str]]
    modules: tuple[str, ...]
    packages: str

    def missing(self) -> str | None:
        """Import the modules, so that no import is measured; return what to do where one is not there."""
        try:
            for module in self.modules:
                import_module(module)
        except ImportError:
            return f"not installed: pip install {self.packages}"
        return None


def read_texts(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of the documents."""
    for shard in sorted(folder.glob("part-*.parquet")):
        for batch in pq.ParquetFile(shard).iter_batches(1024, columns=["native_key", "text"]):
            yield from zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True)


def _shingles(text: str) -> list[str]:
    words = WORD.findall(text.lower())
    return [" ".join(words[place : place + SHINGLE_WORDS]) for place in range(len(words) - SHINGLE_WORDS + 1)]


def rensa_loop(folder: Path) -> set[str]:
    """Query and insert one document after the other."""
    from rensa import RMinHash, RMinHashLSH

    index = RMinHashLSH(THRESHOLD, BANDS * ROWS, BANDS)
    removed = set()
    for number, (name, text) in enumerate(read_texts(folder)):
        signature = RMinHash(BANDS * ROWS, SEED)
        signature.update(_shingles(text))
        if index.query(signature):
            removed.add(name)
        index.insert(number, signature)
    return removed


def datasketch_loop(folder: Path) -> set[str]:
    """Query and insert one document after the other."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
    removed = set()
    for name, text in read_texts(folder):
        signature = MinHash(num_perm=BANDS * ROWS)
        signature.update_batch([shingle.encode() for shingle in _shingles(text)])
        if index.query(signature):
            removed.add(name)
        index.insert(name, signature, check_duplication=False)
    return removed


def datatrove_pipeline(folder: Path) -> set[str]:
    """Run its four MinHash steps on one worker; the kept documents are written and read again for their names."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter
    from datatrove.utils.hashing import HashConfig

    work = Path(tempfile.mkdtemp(dir=folder.parent))
    signatures, buckets, clusters, kept = (str(work / name) for name in ("signatures", "buckets", "clusters", "kept"))
    config = MinhashConfig(
        hash_config=HashConfig(precision=64), num_buckets=BANDS, hashes_per_bucket=ROWS, n_grams=SHINGLE_WORDS
    )
    tasks = len(list(folder.glob("part-*.parquet")))

    def reader() -> ParquetReader:
        return ParquetReader(str(folder), id_key="native_key", read_metadata=False)

    steps = (
        (tasks, [reader(), MinhashDedupSignature(output_folder=signatures, config=config)]),
        (BANDS, [MinhashDedupBuckets(input_folder=signatures, output_folder=buckets, config=config)]),
        (1, [MinhashDedupCluster(input_folder=buckets, output_folder=clusters, config=config)]),
        (tasks, [reader(), MinhashDedupFilter(input_folder=clusters), ParquetWriter(kept)]),
    )
    with redirect_stderr(io.StringIO()):  # it writes pages of its own statistics there
        for number, (count, pipeline) in enumerate(steps):
            LocalPipelineExecutor(pipeline, tasks=count, workers=1, logging_dir=str(work / f"log{number}")).run()
    staying = {name for file in Path(kept).rglob("*.parquet") for name in pq.read_table(file)["id"].to_pylist()}
    return {name for name, _ in read_texts(folder)} - staying


PEERS = {
    "rensa": System("rensa, bare loop", rensa_loop, ("rensa",), "rensa"),
    "datasketch": System("datasketch, bare loop", datasketch_loop, ("datasketch",), "datasketch"),
    "datatrove": System(
        "datatrove, MinHash pipeline",
        datatrove_pipeline,
        ("datatrove.pipeline.dedup.minhash", "orjson", "spacy", "tokenizers", "xxhash"),
        "--editable '.[bench]'",
    ),
}
