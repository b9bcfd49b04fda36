"""Extract: raw files in their native formats become document shards, one stage a source.

Each file is streamed by one worker through its reader; the documents travel in packed batches to their shards, are
sorted by id and written once. Records that cannot be read go to quarantine with file, offset and reason; too many of
them fail the run. All sources that are not finished are extracted by one job.

Out: `documents/SOURCE/part-….parquet`; beside the id: `provenance/part-….parquet`, `left_out/part-….parquet`,
`quarantine.jsonl`, `files.jsonl` (input_files.py). Alone: `python -m pipelines.extract --config FILE --store DIR`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa

from pipelines.blocks import Blocks
from pipelines.config import CorpusConfig
from pipelines.corpus import ADDRESS_SHARDS, Corpus
from pipelines.documents import DOCUMENT_SCHEMA, LEFT_OUT_SCHEMA, PROVENANCE_SCHEMA, write_parquet
from pipelines.engine import ReadOutputs, read_results, read_work_list, write_results, write_work_list
from pipelines.extracted_rows import (
    ROW_SCHEMA,
    Waiting,
    document_rows,
    left_out_rows,
    left_out_shard,
    packed,
    unpacked,
)
from pipelines.input_files import FILES, file_figures, write_file_figures
from pipelines.job_progress import report
from pipelines.quarantine import (
    check_quarantine,
    gather_quarantine,
    quarantine_entry,
    quarantine_told,
    read_quarantine,
    write_quarantine,
)
from pipelines.source_files import digest_files, find_files, readable
from pipelines.sources.errors import SourceError
from pipelines.sources.locate import locate
from pipelines.sources.record import Quarantined, Record, Skipped, Used
from pipelines.sources.registry import READERS
from pipelines.store.files import digest_file, join, size_of
from pipelines.store.hashing import part_name, sha256_json, shard_of
from pipelines.store.ledger import build_ledger, check_extraction
from pipelines.store.stages import FinishedStage, OpenStage, StageKey, StoredFile

PACKAGES = ("fastwarc", "mwparserfromhell", "pyarrow", "pyyaml", "resiliparse", "zstandard")
_FLUSH_CHARACTERS = 1 << 21
_REPORT_BYTES = 1 << 18
_LEFT_OUT_CHARACTERS = 200


class _ReadFile(beam.DoFn):
    """Reads one file: yields packed documents by address; tagged `left_out` the records that gave none, likewise, and
    tagged `counts` what it counted.
    """

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks

    def process(self, work: dict[str, Any]) -> Iterable[Any]:
        """Stream the file's records."""
        reader = READERS[work["reader"]](work["options"])
        counts: Counter[tuple[str, ...]] = Counter()
        quarantine: list[dict[str, Any]] = []
        waiting: Waiting = {}
        left_out: Waiting = {}
        size = read = texts = 0
        for record in reader.read(work["url"]):
            _count(counts, work["source"], record)
            if isinstance(record.outcome, Quarantined):
                quarantine.append(quarantine_entry(work["url"], record))
            for row in document_rows(work, record):
                waiting.setdefault(work["base"] + shard_of(row[0], work["shards"]), []).append(row)
                size += len(row[8])
                texts += 1
            for row in left_out_rows(work, record):
                left_out.setdefault(work["base"] + left_out_shard(row, work["shards"]), []).append(row)
                size += _LEFT_OUT_CHARACTERS
            if (position := min(record.offset, work["size"])) > read + _REPORT_BYTES:
                report(position - read)  # offsets of compressed files may run ahead of their size, hence the limit
                read = position
            if size > _FLUSH_CHARACTERS:
                yield from self._sent(waiting, left_out)
                waiting, left_out, size = {}, {}, 0
        report(work["size"] - read)
        yield from self._sent(waiting, left_out)
        flat = ["\t".join(path) + f"\t{number}" for path, number in sorted(counts.items())]
        result = {
            "source": work["source"],
            "url": work["url"],
            "counts": flat,
            "texts": texts,
            "quarantine": quarantine,
        }
        yield beam.pvalue.TaggedOutput("counts", result)

    def _sent(self, waiting: Waiting, left_out: Waiting) -> Iterator[Any]:
        yield from self._blocks.sent(packed(waiting, ROW_SCHEMA))
        for block in self._blocks.sent(packed(left_out, LEFT_OUT_SCHEMA)):
            yield beam.pvalue.TaggedOutput("left_out", block)


def _count(counts: Counter[tuple[str, ...]], source: str, record: Record) -> None:
    outcome = record.outcome
    records = outcome.records if isinstance(outcome, Quarantined) else 1
    for kind, amount in (("records", records), ("raw_bytes", record.raw_bytes)):
        counts[source, kind, "read"] += amount
        if isinstance(outcome, Used):
            counts[source, kind, "used"] += amount
        elif isinstance(outcome, Skipped):
            counts[source, kind, "skipped", outcome.reason] += amount
        else:
            counts[source, kind, "quarantined"] += amount
    if isinstance(outcome, Used):
        for note in outcome.notes:
            counts[source, "notes", note] += 1


class _WriteShard(beam.DoFn):
    """Writes one document shard, its provenance, and a shard of what was left out; documents of equal id become one."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks

    def process(self, joined: tuple[int, dict[str, Any]]) -> Iterable[dict[str, Any]]:
        """Write the shard; one without documents becomes an empty file."""
        (output,) = joined[1]["output"]
        order = ("id", "url", "title", "date", "part", "file", "offset")
        rows = unpacked(self._blocks.received(joined[1]["blocks"]), ROW_SCHEMA, order)
        ids = rows.column("id").to_pylist()
        first = [position for position, identifier in enumerate(ids) if not position or identifier != ids[position - 1]]
        documents = rows.select(DOCUMENT_SCHEMA.names).take(pa.array(first, pa.int64()))
        provenance = rows.select(PROVENANCE_SCHEMA.names)
        written = StoredFile.of(output["path"], write_parquet(output["url"], documents), rows=len(first))
        left_out_blocks = self._blocks.received(joined[1]["left_out"])
        left_out = unpacked(left_out_blocks, LEFT_OUT_SCHEMA, ("native_key", "file", "offset"))
        side = [
            StoredFile.of(place["path"], write_parquet(place["url"], table), rows=table.num_rows)
            for place, table in zip(output["side"], (provenance, left_out), strict=True)
        ]
        yield {
            "source": output["source"],
            "file": written.to_json(),
            "side_files": [file.to_json() for file in side],
            "documents": len(first),
            "copies": len(ids) - len(first),
        }


def run(
    corpus: Corpus, note: Callable[[FinishedStage], FinishedStage]
) -> tuple[dict[str, FinishedStage], dict[str, list[str]]]:
    """Extract every source that is not finished.

    Args:
        corpus: configuration, store and engine.
        note: called with every source's stage.

    Returns:
        The stage of each source, and the file patterns that matched nothing by source.

    Raises:
        SourceError: when no pattern of any source matches a file, or a source lost too much (`check_quarantine`), now
            or when it was extracted; the stages of all other sources are finished by then.
    """
    files, missing = find_files(corpus.config)
    for source, patterns in missing.items():
        for pattern in patterns:
            corpus.engine.display.say(f"  source {source}: no file matches {pattern}")
    digests = digest_files(corpus, files)
    keys = {source: _key(corpus.config, source, {url: digests[url] for url in urls}) for source, urls in files.items()}
    stages = {source: corpus.store.finished(key) for source, key in sorted(keys.items())}
    refused: list[str] = []
    for source, stage in stages.items():
        if stage is not None and stage.ledger[source]["records"]["quarantined"]:
            _check(corpus, source, stage.ledger, stage.url, read_quarantine(stage), refused)
    waiting = [source for source, stage in stages.items() if stage is None]
    if waiting:
        begun = {source: corpus.store.begin(keys[source]) for source in waiting}
        results = _run_job(corpus, begun, {source: files[source] for source in waiting})
        ledgers = {source: _ledger(source, results[source]) for source in waiting}
        read = {source: 1 + ledger[source]["raw_bytes"]["read"] for source, ledger in ledgers.items()}
        for source in waiting:
            for url in sorted(result["url"] for result in results[source] if result.get("counts") == []):
                corpus.engine.display.say(f"  source {source}: {url} has no records")
            ledger, entries = ledgers[source], gather_quarantine(results[source])
            kept = write_quarantine(begun[source].url, entries)
            if _check(corpus, source, ledger, begun[source].url, entries, refused):
                inputs = [{"path": url, "sha256": digests[url]} for url in files[source]]
                share = read[source] / sum(read.values())
                stages[source] = _finish(begun[source], _Outcome(ledger, results[source], inputs, kept, share))
    if refused:
        raise SourceError("\n".join(refused))
    return {source: note(_must(stage)) for source, stage in stages.items()}, missing


def _check(
    corpus: Corpus, source: str, ledger: dict[str, Any], url: str, entries: list[dict[str, Any]], refused: list[str]
) -> bool:
    """Tell what of a source is in quarantine; where it is too much, add the reason to `refused` and return False."""
    check_extraction(ledger)
    records = ledger[source]["records"]
    for line in quarantine_told(records, url, entries):
        corpus.engine.display.say(f"  source {source}: {line}")
    try:
        check_quarantine(source, corpus.config.extract, records, url, entries)
    except SourceError as error:
        refused.append(str(error))
        return False
    return True


def _must(stage: FinishedStage | None) -> FinishedStage:
    assert stage is not None
    return stage


def _key(config: CorpusConfig, source: str, digests: dict[str, str]) -> StageKey:
    """Return the identity of a source's stage; `digests` are the sha256 of its files by url."""
    recipe = config.source_recipe(source) | {"shards": config.extract.shards}
    reader = READERS[config.sources[source].reader](config.source_options(source))
    option_files = locate(reader.option_files(config.source_options(source)))
    contents = sorted(f"{sha256} {reader.name_facts(url)}".rstrip() for url, sha256 in digests.items())
    inputs = {"files": contents, "option_files": sorted(readable(url, digest_file).sha256 for url in option_files)}
    return StageKey("extract", recipe, inputs, ("pipelines.extract", reader.__module__), PACKAGES)


def _run_job(
    corpus: Corpus, stages: dict[str, OpenStage], files: dict[str, list[str]]
) -> dict[str, list[dict[str, Any]]]:
    """Run the job for some sources; return the results of each."""
    shards = corpus.config.extract.shards
    # The job's own files lie apart from the stages: another build may make one of these stages with other sources.
    folder = join(corpus.store.url, "jobs", sha256_json(sorted(stage.key.fingerprint for stage in stages.values())))
    names = sorted(corpus.config.sources)
    work: list[dict[str, Any]] = []
    outputs: list[dict[str, Any]] = []
    for source, stage in stages.items():
        base = names.index(source) * ADDRESS_SHARDS
        settings = corpus.config.sources[source]
        common = {
            "source": source,
            "reader": settings.reader,
            "options": corpus.config.source_options(source),
            "base": base,
        }
        work += [common | {"url": url, "size": size_of(url), "shards": shards} for url in files[source]]
        for shard in range(shards):
            name = part_name(shard, shards, ".parquet")
            places = [f"documents/{source}/{name}", f"provenance/{name}", f"left_out/{name}"]
            target, *side = ({"path": path, "url": stage.path(path)} for path in places)
            outputs.append({"source": source, "number": base + shard, **target, "side": side})
    work_url, outputs_url, results_url = (join(folder, f"{name}.jsonl") for name in ("work", "outputs", "results"))
    write_work_list(work_url, work)
    write_work_list(outputs_url, outputs)

    def pipeline(p: beam.Pipeline, blocks: Blocks) -> None:
        read = read_work_list(p, work_url) | "Read files" >> beam.ParDo(_ReadFile(blocks)).with_outputs(
            "left_out", "counts", main="blocks"
        )
        targets = p | "Outputs" >> ReadOutputs(outputs_url)
        parts = {"blocks": read.blocks, "left_out": read.left_out, "output": targets}
        written = parts | "Meet shard" >> beam.CoGroupByKey() | "Write shard" >> beam.ParDo(_WriteShard(blocks))
        write_results((written, read.counts) | "All results" >> beam.Flatten(), results_url)

    size = sum(item["size"] for item in work)
    with corpus.engine.blocks(corpus.store.url) as blocks:
        corpus.engine.run("extract", lambda p: pipeline(p, blocks), size, "bytes")
    results: dict[str, list[dict[str, Any]]] = {source: [] for source in stages}
    for result in read_results(results_url):
        results[result["source"]].append(result)
    return results


@dataclass(frozen=True)
class _Outcome:
    """What the job made of a source, and its share of the job's raw bytes."""

    ledger: dict[str, Any]
    results: list[dict[str, Any]]
    inputs: list[dict[str, Any]]
    quarantine: StoredFile
    share: float


def _finish(stage: OpenStage, outcome: _Outcome) -> FinishedStage:
    """Finish the stage of a source."""
    ledger, results = outcome.ledger, outcome.results
    side_files = [StoredFile(**file) for result in results for file in result.get("side_files", ())]
    side_files.append(outcome.quarantine)
    figures = file_figures(results)
    side_files.append(StoredFile.of(FILES, write_file_figures(stage.path(FILES), figures), rows=len(figures)))
    files = [StoredFile(**result["file"]) for result in results if "file" in result]
    side = {"input_files": outcome.inputs}
    return stage.finish(files, ledger=ledger, side_files=side_files, side=side, share=outcome.share)


def _ledger(source: str, results: list[dict[str, Any]]) -> dict[str, Any]:
    counts: list[dict[tuple[str, ...], int]] = [
        {(source, kind, name): 0 for kind in ("records", "raw_bytes") for name in ("read", "used", "quarantined")}
    ]
    for result in results:
        if "documents" in result:
            out: dict[tuple[str, ...], int] = {
                (source, "documents", "out"): result["documents"],
                (source, "documents", "copies"): result["copies"],
            }
            counts.append(out)
        for line in result.get("counts", ()):
            *path, number = line.split("\t")
            counts.append({tuple(path): int(number)})
    ledger = build_ledger(counts)
    for kind in ("records", "raw_bytes"):
        ledger[source][kind].setdefault("skipped", {})
    return ledger


if __name__ == "__main__":
    from pipelines.job import main

    main("extract")
