"""Decontaminate: find evaluation examples in the training documents, and on request remove the documents or the spans.

The n-grams of the evaluation sets are written once, as a stage of their own, and mapped into every worker
(pipelines/contamination/ngrams.py). Every training document's words are looked up there; a document that an n-gram
stands in is a match, whichever the text around it. Held-out documents are not looked at: nothing is trained on them.

In: documents, `holdout`, evaluation sets. Out: decisions {split, matches, spans, text_bytes}, `matches/SOURCE/part-…`
with a row for each document and example. Alone: `python -m pipelines.decontaminate --config FILE --store DIR`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.contamination.cuts import Span, text_without
from pipelines.contamination.evaluation_records import EvaluationSetError
from pipelines.contamination.evaluation_sets import find_sets, read_examples
from pipelines.contamination.matching import Matches, NgramSet
from pipelines.contamination.ngrams import NgramWriter
from pipelines.contamination.removal import CONTAMINATED, Document, spans_to_cut
from pipelines.contamination.settings import DecontaminateSettings
from pipelines.contamination.words import batches_of_words
from pipelines.corpus import Corpus, DecideShard, run_decision_stage
from pipelines.documents import ID_TYPE, read_batches, write_parquet
from pipelines.engine import read_results, read_work_list, write_results, write_work_list
from pipelines.job_progress import report
from pipelines.near_duplicates.words import WordBatch
from pipelines.store.files import digest_file, read_bytes, write_bytes
from pipelines.store.stages import FinishedStage, OpenStage, StageKey, StoredFile

FREQUENT_FILE = "frequent.bin"
ADDRESS = ("url", "native_key", "title")
"""What a document is called in the table of matches: the first of these that it has."""

MATCH_SCHEMA = pa.schema(
    [
        ("id", ID_TYPE),
        ("address", pa.string()),
        ("example", pa.int32()),
        ("ngrams", pa.int32()),
        ("position", pa.int32()),
        ("start", pa.int64()),
        ("end", pa.int64()),
    ]
)


def run_ngrams(corpus: Corpus) -> FinishedStage | None:
    """Write the n-grams of the evaluation sets, unless that is done; None where there is no set to compare with.

    Raises:
        EvaluationSetError: when something is to be removed and there is no set, or a set cannot be used.
    """
    settings = corpus.config.decontaminate
    if settings is None:
        return None
    files = find_sets(settings)
    say = corpus.engine.display.say
    if not any(files.values()):
        if corpus.removes():
            raise EvaluationSetError(
                f"decontaminate.remove = {settings.remove!r}, but no evaluation set has a file, so nothing would be "
                "removed; give their folder with --set decontaminate.folder=DIR, or mend `files` of the sets"
            )
        say("  decontaminate: no evaluation sets, documents are not compared (--set decontaminate.folder=DIR)")
        return None
    if without := [task for task, urls in files.items() if not urls]:
        say(f"  decontaminate: no data for {', '.join(without)}")
    recipe = {
        "n": settings.n,
        "fields": {task: list(settings.sets[task].fields) for task in files},
        "records": {task: settings.sets[task].records for task in files},
    }
    inputs = {task: [digest_file(url).sha256 for url in urls] for task, urls in files.items()}
    key = StageKey("evaluation_ngrams", recipe, inputs, ("pipelines.decontaminate",), ("numpy", "pyarrow"))
    done = corpus.store.finished(key)
    if done is not None:
        return done
    stage = corpus.store.begin(key)
    examples = {
        task: read_examples(task, urls, settings.sets[task].fields, settings.sets[task].records)
        for task, urls in files.items()
    }
    written, tasks = NgramWriter(stage.url, settings.n).write(examples)
    return stage.finish(written, summary={"tasks": tasks})


@lru_cache(maxsize=2)
def _opened(url: str, frequent_url: str | None) -> NgramSet:
    """Open the n-grams once a process."""
    return NgramSet(url, np.frombuffer(read_bytes(frequent_url), "<i8") if frequent_url else None)


class _CountNgrams(beam.DoFn):
    """Counts in how many training documents of a shard each n-gram stands: yields (0, packed (n-gram, documents))."""

    def __init__(self, ngrams_url: str) -> None:
        self._ngrams_url = ngrams_url

    def process(self, work: dict[str, Any]) -> Iterable[tuple[int, bytes]]:
        """Stream the shard."""
        ngrams, found = _opened(self._ngrams_url, None), [np.empty(0, np.int64)]
        decisions = {"holdout": (work["decisions"]["holdout"], ("split",))}
        for batch in read_batches(work["documents"], ("text",), decisions):
            for _, texts, matches in _matches(ngrams, batch["text"].filter(_trained(batch))):
                found.append(np.unique(np.stack([texts, matches.ngrams]), axis=1)[1])
            report(len(batch["id"]))
        numbers, documents = np.unique(np.concatenate(found), return_counts=True)
        yield 0, np.stack([numbers, documents]).astype("<i8").tobytes()


class _WriteFrequent(beam.DoFn):
    """Writes the n-grams of more than so many documents, in ascending order."""

    def __init__(self, url: str, limit: int) -> None:
        self._url, self._limit = url, limit

    def process(self, keyed: tuple[int, Iterable[bytes]]) -> Iterable[dict[str, Any]]:
        """Write the file."""
        parts = [np.frombuffer(block, "<i8").reshape(2, -1) for block in keyed[1]]
        numbers, places = np.unique(np.concatenate([part[0] for part in parts]), return_inverse=True)
        documents = np.zeros(len(numbers), np.int64)
        np.add.at(documents, places, np.concatenate([part[1] for part in parts]))
        digest = write_bytes(self._url, numbers[documents > self._limit].astype("<i8").tobytes())
        yield StoredFile.of(FREQUENT_FILE, digest).to_json()


def _trained(batch: dict[str, Any]) -> pa.Array:
    return pc.equal(batch["holdout.split"], "train").fill_null(False)


def _matches(ngrams: NgramSet, texts: pa.Array) -> Iterator[tuple[WordBatch, NDArray[np.int64], Matches]]:
    """Yield the words of some texts, each match's text (counted in this run), and the matches."""
    for _, words in batches_of_words(texts):
        matches = ngrams.find(words)
        yield words, np.searchsorted(words.offsets, matches.words, "right") - 1, matches


class _Compare(DecideShard):
    """Compares training documents with the evaluation sets."""

    job = "decontaminate"
    columns = ("text", "text_bytes", *ADDRESS)
    decision_columns = {"holdout": ("split",)}  # noqa: RUF012 - a constant of the class

    def __init__(self, settings: DecontaminateSettings, ngrams_url: str, frequent_url: str | None) -> None:
        self._settings, self._ngrams_url, self._frequent_url = settings, ngrams_url, frequent_url

    def begin(self, work: dict[str, Any]) -> None:
        """Start a shard's table of matches."""
        super().begin(work)
        self._ngrams = _opened(self._ngrams_url, self._frequent_url)
        self._tables = [MATCH_SCHEMA.empty_table()]

    def figures(self) -> dict[str, Any]:
        """Write the shard's table of matches."""
        path = self.work["output_path"].replace("decisions/", "matches/", 1)
        table = pa.concat_tables(self._tables)
        digest = write_parquet(self.work["output"].removesuffix(self.work["output_path"]) + path, table)
        matched = len(table.column("id").unique())
        return {"more_files": [StoredFile.of(path, digest, rows=table.num_rows).to_json()], "matched": matched}

    def decide(self, batch: dict[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
        """Return split, matches, spans and bytes left of a batch."""
        trained = _trained(batch)
        rows = np.flatnonzero(trained.to_numpy(zero_copy_only=False))
        columns: dict[str, list[Any]] = {
            "split": batch["holdout.split"].to_pylist(),
            "matches": pc.if_else(trained, 0, None).to_pylist(),
            "spans": [None] * len(trained),
            "text_bytes": pc.if_else(trained, batch["text_bytes"], None).to_pylist(),
        }
        texts = batch["text"].filter(trained)
        first = 0
        for words, numbers, matches in _matches(self._ngrams, texts):
            for number in np.unique(numbers).tolist():
                row, own = int(rows[first + number]), numbers == number
                text = texts[first + number].as_py()
                document = Document.of(text, words, number)
                self._note(batch, row, document, matches.of(own, words.offsets[number]))
                columns["matches"][row] = len(np.unique(matches.words[own]))
                self._remove(columns, row, document)
            first += len(words.offsets) - 1
        splits = Counter(columns["split"][row] for row in rows.tolist())
        return columns, {"in": len(rows), "out": splits.pop("train", 0), **splits}

    def _note(self, batch: dict[str, Any], row: int, document: Document, matches: Matches) -> None:
        """Add a row for each example that a document matches: the n-gram of the example that comes first in it."""
        which, postings = self._ngrams.examples_of(matches.ngrams)
        order = np.lexsort((which, postings["position"], postings["example"]))
        which, postings = which[order], postings[order]
        examples, firsts = np.unique(postings["example"], return_index=True)
        distinct = np.unique(np.stack([postings["example"], matches.ngrams[which]]), axis=1)[0]
        place, length = matches.words[which[firsts]], matches.lengths[which[firsts]]
        address = next((value for name in ADDRESS if (value := batch[name][row].as_py())), None)
        columns = [
            [batch["id"][row].as_py()] * len(examples),
            [address] * len(examples),
            examples,
            np.unique(distinct, return_counts=True)[1],
            postings["position"][firsts],
            document.starts[place],
            document.ends[place + length - 1],
        ]
        arrays = [pa.array(column, f.type) for column, f in zip(columns, MATCH_SCHEMA, strict=True)]
        self._tables.append(pa.Table.from_arrays(arrays, schema=MATCH_SCHEMA))

    def _remove(self, columns: dict[str, list[Any]], row: int, document: Document) -> None:
        """Do to a document that matches what the configuration asks for."""
        spans: list[Span] = []
        reason = CONTAMINATED if self._settings.remove == "documents" else None
        if self._settings.remove == "spans":
            spans, reason = spans_to_cut(document, self._ngrams, self._settings)
        if reason is not None:
            columns["split"][row] = reason
        elif spans:
            columns["spans"][row] = spans
            columns["text_bytes"][row] = len(text_without(document.text, spans).encode())


def run(corpus: Corpus, ngrams: FinishedStage) -> FinishedStage:
    """Compare the corpus with finished n-grams, unless that is finished."""
    settings = corpus.config.decontaminate
    assert settings is not None, "build runs this job only where it is configured"
    inputs = corpus.inputs("holdout") | {"evaluation_ngrams": ngrams.output_id}
    recipe = {name: value for name, value in settings.recipe().items() if name != "n"}
    key = StageKey("decontaminate", recipe, inputs, ("pipelines.decontaminate",), ("numpy", "pyarrow"))
    frequent: list[StoredFile] = []
    frequent_url = None
    if settings.ignore_frequent is not None and corpus.store.finished(key) is None:
        stage = corpus.store.begin(key)
        frequent = [_find_frequent(corpus, stage, ngrams, settings.ignore_frequent)]
        frequent_url = stage.path(FREQUENT_FILE)
    compare = _Compare(settings, ngrams.url, frequent_url)

    def summarize(results: list[dict[str, Any]]) -> dict[str, Any]:
        return {"remove": settings.remove, "documents": sum(result["matched"] for result in results)}

    return run_decision_stage(
        corpus,
        key,
        lambda work: work | "Compare" >> beam.ParDo(compare),
        jobs=["holdout"],
        summarize=summarize,
        more_files=frequent,
    )


def _find_frequent(corpus: Corpus, stage: OpenStage, ngrams: FinishedStage, limit: int) -> StoredFile:
    """Write the n-grams that stand in more than `limit` training documents."""
    work_url, results_url = stage.path("frequent_work.jsonl"), stage.path("frequent_results.jsonl")
    write_work_list(work_url, corpus.work(["holdout"], None))
    write = _WriteFrequent(stage.path(FREQUENT_FILE), limit)

    def pipeline(p: beam.Pipeline) -> None:
        counts = read_work_list(p, work_url) | "Count n-grams" >> beam.ParDo(_CountNgrams(ngrams.url))
        written = counts | "Gather counts" >> beam.GroupByKey() | "Write frequent" >> beam.ParDo(write)
        write_results(written, results_url)

    corpus.engine.run("frequent n-grams", pipeline, corpus.document_count(), "documents")
    (file,) = read_results(results_url)
    return StoredFile(**file)


if __name__ == "__main__":
    from pipelines.job import main

    main("decontaminate")
