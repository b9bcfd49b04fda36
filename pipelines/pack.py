"""Pack: training and held-out documents become TFRecord shards of fixed-length sequences.

A component is packed for each variant that a version takes: `all` of its training documents, the `filtered` ones, or
the `random` subset. A document's shard and its place in it are given by hash(seed, `order`, id). Held-out documents
are cut one by one, by source.

In: documents, `training`, `tokenize`, and `sample` or `subset` where the variant needs it. Out:
`VARIANT/part-….tfrecord` with their indices, or `SOURCE/part-…` of the held-out.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.blocks import Blocks
from pipelines.corpus import Corpus
from pipelines.documents import ID_TYPE, VARIANT_JOBS, ids_of, read_batches
from pipelines.engine import ReadOutputs, read_results, read_work_list, write_results, write_work_list
from pipelines.job_progress import report
from pipelines.store.files import read_bytes
from pipelines.store.hashing import KeyedHash, part_name
from pipelines.store.sequences import SequenceRecord, encode_sequence
from pipelines.store.stages import FinishedStage, OpenStage, StageKey, StoredFile
from pipelines.store.tfrecord import ShardWriter, index_url
from pipelines.tokenize import MODEL_PATH, stored_tokens
from tokenizer.encode import Encoder
from tokenizer.packing import PackedSequence, cut_document, pack

STREAM_SCHEMA = pa.schema([("key", pa.uint64()), ("id", ID_TYPE), ("tokens", pa.binary())])
_FLUSH_BYTES = 1 << 20


class _Route(beam.DoFn):
    """Sends the chosen documents' tokens to their output shards in packed batches of about 1 MB."""

    def __init__(
        self, blocks: Blocks, seed: int, shards: int, variant: str, splits: tuple[str, ...], max_tokens: int | None
    ) -> None:
        self._blocks, self._seed, self._shards, self._variant = blocks, seed, shards, variant
        self._splits, self._max_tokens = splits, max_tokens

    def process(self, work: dict[str, Any]) -> Iterable[Any]:
        """Yield (output shard, packed documents), and what was cut tagged `cut`."""
        order = KeyedHash(self._seed, "order")
        waiting: dict[int, list[tuple[int, bytes, bytes]]] = {}
        size = cut = 0
        for batch in read_batches(work["documents"], (), self._decisions(work)):
            for identifier, tokens in self._chosen(batch):
                whole = len(tokens)
                if self._max_tokens is not None:
                    width = work["token_bytes"]
                    tokens = tokens[: self._max_tokens * width]
                    cut += (whole - len(tokens)) // width
                key = order(identifier)
                waiting.setdefault(work["base"] + key % self._shards, []).append((key, identifier, tokens))
                size += len(tokens)
            if size > _FLUSH_BYTES:
                yield from self._blocks.sent(_packed(waiting))
                waiting, size = {}, 0
            report(len(batch["id"]))
        yield from self._blocks.sent(_packed(waiting))
        yield beam.pvalue.TaggedOutput("cut", {"source": work["source"], "cut": cut})

    def _decisions(self, work: dict[str, Any]) -> dict[str, tuple[str, tuple[str, ...]]]:
        urls = work["decisions"]
        decisions: dict[str, tuple[str, tuple[str, ...]]] = {
            "training": (urls["training"], ("split",)),
            "tokenize": (urls["tokenize"], ("tokens",)),
        }
        if self._variant == "filtered":
            decisions["sample"] = (urls["sample"], ("keep",))
        if self._variant == "random":
            decisions["subset"] = (urls["subset"], ("random",))
        return decisions

    def _chosen(self, batch: dict[str, Any]) -> Iterator[tuple[bytes, bytes]]:
        chosen = pc.is_in(batch["training.split"], value_set=pa.array(self._splits))
        for name in ("sample.keep", "subset.random"):
            if name in batch:
                chosen = pc.and_(chosen, batch[name].fill_null(False))
        mask = chosen.fill_null(False)
        ids = ids_of(batch["id"])[mask.to_numpy(zero_copy_only=False)]
        for identifier, tokens in zip(ids, batch["tokenize.tokens"].filter(mask).to_pylist(), strict=True):
            yield bytes(identifier), tokens


def _packed(waiting: dict[int, list[tuple[int, bytes, bytes]]]) -> Iterator[tuple[int, bytes]]:
    for shard, rows in waiting.items():
        columns = [
            pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), STREAM_SCHEMA, strict=True)
        ]
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, STREAM_SCHEMA) as writer:
            writer.write_batch(pa.record_batch(columns, schema=STREAM_SCHEMA))
        yield shard, sink.getvalue()


def _in_order(blocks: Iterable[bytes]) -> pa.Table:
    tables = [pa.ipc.open_stream(block).read_all() for block in blocks]
    return pa.concat_tables(tables or [STREAM_SCHEMA.empty_table()]).sort_by(
        [("key", "ascending"), ("id", "ascending")]
    )


class _WriteShard(beam.DoFn):
    """Writes one output shard and its index."""

    def __init__(self, blocks: Blocks, sequence_length: int, token_dtype: str, heldout: bool, model_url: str) -> None:
        self._blocks, self._sequence_length, self._token_dtype = blocks, sequence_length, token_dtype
        self._heldout, self._model_url = heldout, model_url

    def setup(self) -> None:
        """Load the bytes of each token once a worker."""
        self._encoder = Encoder(read_bytes(self._model_url))
        self._token_bytes = self._encoder.piece_bytes()

    def process(self, joined: tuple[int, dict[str, Any]]) -> Iterable[dict[str, Any]]:
        """Write the shard; one without documents becomes an empty file."""
        (output,) = joined[1]["output"]
        table = _in_order(self._blocks.received(joined[1]["blocks"]))
        documents = list(
            zip(
                table.column("id").to_pylist(),
                stored_tokens(table.column("tokens").combine_chunks(), self._token_dtype),
                strict=True,
            )
        )
        with ShardWriter(output["url"]) as writer:
            for sequence in self._sequences(documents):
                writer.write(encode_sequence(SequenceRecord(*sequence)))
        tokens = sum(len(tokens) + 1 for _, tokens in documents)
        shard = StoredFile.of(output["path"], writer.digest, rows=writer.records, tokens=tokens)
        index = StoredFile.of(index_url(output["path"]), writer.index_digest)
        yield {
            "set": output["set"],
            "files": [shard.to_json(), index.to_json()],
            "records": writer.records,
            "tokens": tokens,
            "documents": len(documents),
            "bytes": sum(int(self._token_bytes[tokens].sum()) for _, tokens in documents),
        }

    def _sequences(self, documents: list[tuple[bytes, np.ndarray]]) -> Iterator[PackedSequence]:
        start, padding = self._encoder.document_start_id, self._encoder.padding_id
        if not self._heldout:
            yield from pack(documents, self._sequence_length, start, padding)
            return
        for identifier, tokens in documents:
            yield from cut_document(identifier, tokens, self._sequence_length, start, padding)


def _pack(
    corpus: Corpus,
    key: StageKey,
    tokenizer: FinishedStage,
    sets: dict[str, str],
    *,
    variant: str,
    splits: tuple[str, ...],
    max_tokens: int | None,
    heldout: bool,
) -> FinishedStage:
    """Pack documents of some sources into sets of shards.

    Args:
        corpus: the corpus with its decisions.
        key: the stage's key.
        tokenizer: the finished tokenizer.
        sets: which set of shards each source goes to.
        variant: which documents (`Variant`).
        splits: of which splits.
        max_tokens: most tokens of a document, None for no limit.
        heldout: whether documents are cut one by one.
    """
    done = corpus.store.finished(key)
    if done is not None:
        return done
    stage = corpus.store.begin(key)
    settings, dtype = corpus.config.pack, str(tokenizer.summary["token_dtype"])
    names = sorted(set(sets.values()))
    work = corpus.work(["training", "tokenize", *VARIANT_JOBS[variant]], None, sets)
    for item in work:
        item |= {"base": names.index(sets[item["source"]]) * settings.shards, "token_bytes": np.dtype(dtype).itemsize}
    write_work_list(stage.path("work.jsonl"), work)
    outputs = _outputs(stage, names, settings.shards)
    write_work_list(stage.path("outputs.jsonl"), outputs)
    results_url = stage.path("results.jsonl")

    def pipeline(p: beam.Pipeline, blocks: Blocks) -> None:
        route = _Route(blocks, corpus.config.seed, settings.shards, variant, splits, max_tokens)
        write = _WriteShard(blocks, settings.sequence_length, dtype, heldout, tokenizer.urls(MODEL_PATH)[0])
        routed = read_work_list(p, stage.path("work.jsonl")) | "Route" >> beam.ParDo(route).with_outputs(
            "cut", main="blocks"
        )
        targets = p | "Output shards" >> ReadOutputs(stage.path("outputs.jsonl"))
        joined = {"blocks": routed.blocks, "output": targets} | "Meet shard" >> beam.CoGroupByKey()
        written = joined | "Write shard" >> beam.ParDo(write)
        write_results((written, routed.cut) | "All results" >> beam.Flatten(), results_url)

    with corpus.engine.blocks(corpus.store.url) as blocks:
        corpus.engine.run(key.stage, lambda p: pipeline(p, blocks), corpus.document_count(sets), "documents")
    results = read_results(results_url)
    files = [StoredFile(**file) for result in results for file in result.get("files", ())]
    return stage.finish(files, summary=_summary(results, names, sets))


def _outputs(stage: OpenStage, names: list[str], shards: int) -> list[dict[str, Any]]:
    outputs = []
    for index, name in enumerate(names):
        for shard in range(shards):
            path = f"{name}/{part_name(shard, shards, '.tfrecord')}"
            outputs.append({"number": index * shards + shard, "set": name, "path": path, "url": stage.path(path)})
    return outputs


def _summary(results: list[dict[str, Any]], names: list[str], sets: dict[str, str]) -> dict[str, Any]:
    figures = ("records", "tokens", "documents", "bytes")
    summary: dict[str, Any] = {name: dict.fromkeys((*figures, "tokens_cut"), 0) for name in names}
    for result in results:
        if "cut" in result:
            summary[sets[result["source"]]]["tokens_cut"] += result["cut"]
        else:
            for figure in figures:
                summary[result["set"]][figure] += result[figure]
    return summary


def _recipe(corpus: Corpus, **more: Any) -> dict[str, Any]:
    settings = corpus.config.pack
    return {"seed": corpus.config.seed, "sequence_length": settings.sequence_length, "shards": settings.shards, **more}


def run_component(corpus: Corpus, tokenizer: FinishedStage, component: str, variant: str) -> FinishedStage:
    """Pack one variant of a component, unless that is finished."""
    sources = corpus.sources_of(component)
    max_tokens = corpus.config.pack.max_tokens.get(component)
    recipe = _recipe(corpus, component=component, variant=variant, max_tokens=max_tokens)
    inputs = corpus.inputs("training", "tokenize", *VARIANT_JOBS[variant], sources=sources)
    key = StageKey("pack", recipe, inputs | {"tokenizer": tokenizer.output_id}, ("pipelines.pack",), ("pyarrow",))
    sets = dict.fromkeys(sources, variant)
    return _pack(corpus, key, tokenizer, sets, variant=variant, splits=("train",), max_tokens=max_tokens, heldout=False)


def run_heldout(corpus: Corpus, tokenizer: FinishedStage) -> FinishedStage:
    """Cut the held-out documents of every source, unless that is finished."""
    inputs = corpus.inputs("training", "tokenize") | {"tokenizer": tokenizer.output_id}
    key = StageKey("pack_heldout", _recipe(corpus), inputs, ("pipelines.pack",), ("pyarrow",))
    sets = {name: name for name in corpus.documents}
    splits = ("heldout", "out_of_domain")
    return _pack(corpus, key, tokenizer, sets, variant="all", splits=splits, max_tokens=None, heldout=True)


if __name__ == "__main__":
    from pipelines.job import main

    main("pack")
