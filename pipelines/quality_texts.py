"""Texts with a class, for training and judging a quality classifier: a user's own files or a corpus's samples.

In: JSON lines, Parquet or plain text files (one text each), or the sample of a finished `classifier` stage. Out:
`LabeledText`s.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from pipelines.language import detect
from pipelines.sources.decompression import decompressed
from pipelines.sources.errors import SourceError
from pipelines.sources.locate import locate
from pipelines.sources.reader import Reader
from pipelines.sources.record import Used
from pipelines.sources.registry import READERS
from pipelines.sources.scanner import Scanner
from pipelines.store.errors import GlamError
from pipelines.store.files import join, open_read
from pipelines.store.hashing import content_hash, document_id
from pipelines.store.stages import FinishedStage
from quality_filter.classifier import LinearClassifier, probability

_READERS = {".jsonl": "jsonl", ".json": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".txt": "text"}
_COMPRESSED = (".gz", ".zst", ".bz2")
LINES_AT_ONCE = 512
LINE_BYTES = 1 << 28
BEGINNING_CHARACTERS = 60


class QualityFileError(GlamError):
    """A user's file is not what it should be; the message names the file, and the line or how the text begins."""


@dataclass(frozen=True)
class LabeledText:
    """A document's text with its class.

    Attributes:
        id: 16 bytes.
        source: of a corpus, or the name of the file.
        host: of its URL, where it has one.
        language: ISO 639-1 code, or `unknown`.
        positive: the class.
        seen: whether models may learn from it; False for documents held out.
        text: the text, or as much of it as was sampled.
        by_host: whether all texts of its host have one fold.
    """

    id: bytes
    source: str
    host: str | None
    language: str
    positive: bool
    seen: bool
    text: str
    by_host: bool = False


def read_files(patterns: Iterable[str], positive: bool, text_field: str = "text") -> list[LabeledText]:
    """Read the files that patterns name, a source each; a text that comes twice in one file counts once.

    Raises:
        SourceError: when a pattern names no file, a file's format is unknown, or a record of it cannot be read.
    """
    texts: dict[bytes, LabeledText] = {}
    for pattern in patterns:
        files = locate([pattern])
        if not files:
            raise SourceError(f"{pattern}: no such file; give .jsonl, .parquet or .txt files, plain or compressed")
        for url in files:
            texts |= {text.id: text for text in _read(url, positive, text_field)}
    return [texts[identifier] for identifier in sorted(texts)]


def refuse_both_classes(positives: Iterable[LabeledText], negatives: Iterable[LabeledText]) -> None:
    """Refuse texts that stand in both classes: nothing can be learned from them, and no score of them is right.

    Raises:
        QualityFileError: naming how many they are, and the files and the beginning of one.
    """
    good = {text.text: text.source for text in positives}
    both = sorted((good[text.text], text.source, text.text) for text in negatives if text.text in good)
    if both:
        source, other, first = both[0]
        beginning = " ".join(first.split())[:BEGINNING_CHARACTERS]
        raise QualityFileError(
            f"--positives {source}, --negatives {other}: texts that stand in both classes: {len(both):,}; one begins "
            f"{beginning!r}; leave each in one class"
        )


def reader_of(url: str, text_field: str) -> Reader:
    """Return the reader for a file, by the end of its name.

    Raises:
        SourceError: when the name tells no format.
    """
    name = posixpath.basename(url).lower()
    for suffix in _COMPRESSED:
        name = name.removesuffix(suffix)
    reader = _READERS.get(posixpath.splitext(name)[1])
    if reader is None:
        raise SourceError(f"{url}: its name tells no format; give .jsonl, .parquet or .txt files, plain or compressed")
    return READERS[reader]({} if reader == "text" else {"text_field": text_field})


def _read(url: str, positive: bool, text_field: str) -> Iterator[LabeledText]:
    from pipelines.folds import host_of

    source = posixpath.basename(url)
    for record in reader_of(url, text_field).read(url):
        if not isinstance(record.outcome, Used):
            detail = getattr(record.outcome, "detail", record.outcome.reason)
            raise SourceError(f"{url}, offset {record.offset}: {detail}; mend or remove the record")
        for text in record.outcome.texts:
            identifier = document_id(source, record.native_key, content_hash(text.text))
            language, host = detect(text.text), host_of(text.url)
            yield LabeledText(identifier, source, host, language, positive, True, text.text)


def read_samples(classifier: FinishedStage) -> list[LabeledText]:
    """Return what the models of a `classifier` stage learned from, and what was held out from them; in order of id."""
    from pipelines.classifier import POSITIVE
    from pipelines.documents import read_table

    texts = []
    scored = classifier.manifest["recipe"]["scored_sources"]
    for entry in classifier.manifest["side"]["files"]:
        for row in read_table(join(classifier.url, entry["path"])).to_pylist():
            seen = entry["path"].startswith("train")
            facts = {name: row[name] for name in ("id", "source", "host", "language", "text")}
            by_host = row["source"] in scored
            texts.append(LabeledText(positive=row["label"] == POSITIVE, seen=seen, by_host=by_host, **facts))
    return sorted(texts, key=lambda text: text.id)


def read_lines(url: str) -> Iterator[bytes]:
    """Yield the lines of a file, plain or compressed.

    Raises:
        QualityFileError: when the file cannot be read, or is damaged.
    """
    try:
        with open_read(url) as file:
            scanner = Scanner(decompressed(file))
            while not scanner.at_end():
                line = scanner.read_line(LINE_BYTES)
                if not line.endswith(b"\n") and (damage := scanner.take_damage()):
                    raise QualityFileError(f"{url}: {damage.detail}; fetch the file again")
                yield line
    except OSError as error:
        raise QualityFileError(f"{url}: {error.strerror or error}; mend the path or the permissions") from error


def score_lines(
    lines: Iterable[bytes], classifier: LinearClassifier, text_field: str, score_field: str, name: str
) -> Iterator[bytes]:
    """Yield JSON lines with one more field, the probability of the text (6 places), a batch at a time.

    What stands in a line stays as it was written: numbers keep their digits and strings their escapes.

    Raises:
        QualityFileError: at a line that is no object with a text, or has a field of the score's name.
    """
    numbered = enumerate(lines, 1)
    while batch := list(islice(numbered, LINES_AT_ONCE)):
        rows = [_row(line, number, text_field, score_field, name) for number, line in batch if line.strip()]
        scores = classifier.score_batch([text for _, text in rows]).tolist()
        field = json.dumps(score_field)
        yield b"".join(
            f"{line[:-1].rstrip()}, {field}: {round(probability(score), 6)}}}\n".encode()
            for (line, _), score in zip(rows, scores, strict=True)
        )


def _row(data: bytes, number: int, text_field: str, score_field: str, name: str) -> tuple[str, str]:
    """Return a line without blanks at its ends, and its text."""
    try:
        line = data.decode("utf-8-sig").strip()
        row = json.loads(line)
        text = row[text_field]
        text.encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        problem = f"no object with a text under {text_field!r} ({type(error).__name__}: {error})"
        raise QualityFileError(f"{name}, line {number}: {problem}; mend the line or give --text-field") from error
    if score_field in row:
        raise QualityFileError(
            f"{name}, line {number}: has a field {score_field!r} already; give another --score-field"
        )
    return line, text
