"""Language modelling in and out of domain, of a run: held-out documents and other texts in, figures by bucket out.

What the model made of each document is kept in RUN/evaluation/domains, the figures in RUN/evaluation/domains.json.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from pipelines.progress import Display
from pipelines.store.code_identity import code_identity
from pipelines.store.configuration import ConfigError
from pipelines.store.errors import GlamError
from pipelines.store.files import digest_file, join, write_json
from pipelines.store.hashing import sha256_json
from pipelines.store.versions import Version
from trainer.evaluation.checkpoint import CheckpointModel, load_checkpoint
from trainer.evaluation.domains import Entry, domain_figures
from trainer.evaluation.evaluate import Set
from trainer.evaluation.heldout_documents import heldout_documents, labels_of
from trainer.evaluation.language_modelling import Document, read_documents
from trainer.evaluation.record_file import RecordFile

FOLDER = "domains"
FILE = "domains.json"


@dataclass(frozen=True)
class TextSource:
    """Documents that are read together.

    Attributes:
        name: of the held-out source, or of the set.
        component: of the mixture; empty of a set.
        out_of_domain: whether nothing of it was trained on.
        tokens: of all its documents.
        count: of its documents.
        documents: in an order that does not change.
        origin: what the documents are a function of.
    """

    name: str
    component: str
    out_of_domain: bool
    tokens: int
    count: int
    documents: Iterable[Document]
    origin: dict[str, Any]


def domain_report(
    run_dir: str,
    store_url: str,
    version: Version,
    sets: Sequence[Set],
    stride: int | None,
    limit: int | None,
    display: Display,
) -> dict[str, Any]:
    """Read held-out documents and sets with a run's model, write and return the figures (docs/formats.md, "Domains").

    Args:
        run_dir: folder of a finished run.
        store_url: that has the version's stages, for languages and scores.
        version: that the run was trained on.
        sets: whole texts that nothing was trained on, beside the sources held out whole.
        stride: see `evaluate_domains`.
        limit: likewise.
        display: told how it goes.
    """
    model = load_checkpoint(run_dir, version)
    sources = [*heldout_sources(model, version), *(set_source(model, one) for one in sets)]
    entries = evaluate_domains(model, sources, stride, limit, display, run_dir)
    settings = model.settings
    report = {
        "version": version.id,
        "context": model.context,
        "stride": stride or default_stride(model.context),
        "layers": list(range(0, settings.layers, 2)) if settings.experts else [],
        "experts": settings.experts,
        "choices": settings.choices,
        "capacity_factor": settings.capacity_factor,
        "group_tokens": settings.group_size,
        **domain_figures(labelled(entries, store_url, version, display)),
    }
    write_json(join(run_dir, "evaluation", FILE), report)
    return report


def labelled(entries: Sequence[Entry], store_url: str, version: Version, display: Display) -> list[Entry]:
    """Return entries with what the pipeline says of their documents; without, and a word about it, where a stage is
    gone."""
    ids: dict[str, list[str]] = {}
    for entry in entries:
        if entry.source in version.heldout:
            ids.setdefault(entry.source, []).append(entry.record["document"])
    try:
        labels = labels_of(store_url, version, ids)
    except GlamError as error:
        display.say(f"languages and quality scores are not known: {error}")
        labels = {}
    return [replace(entry, labels=labels.get(entry.record["document"])) for entry in entries]


def default_stride(context: int) -> int:
    """Return the stride where none is given: half of the context."""
    return max(1, context // 2)


def heldout_sources(model: CheckpointModel, version: Version) -> list[TextSource]:
    """Return what a version holds out, in order of name."""
    encoder = model.writer.encoder
    return [
        TextSource(
            name,
            held.component,
            held.out_of_domain,
            held.tokens,
            held.documents,
            heldout_documents(held, version, encoder),
            {"version": version.id},
        )
        for name, held in sorted(version.heldout.items())
    ]


def set_source(model: CheckpointModel, one: Set) -> TextSource:
    """Return the whole texts of a set, which count as out of domain."""
    texts = [one.reader.text(example).text for example in one.examples]
    encoded = model.encode(texts)
    start = np.array([model.document_start], np.int32)
    documents = [
        Document(f"{example.place} {example.number}", text, np.concatenate([start, tokens]).astype(np.int32))
        for example, text, tokens in zip(one.examples, texts, encoded, strict=True)
    ]
    files = [digest_file(url).sha256 for url in one.files]
    origin = {"files": files, "task": one.task.fields}
    return TextSource(one.name, "", True, sum(map(len, encoded)), len(documents), documents, origin)


def evaluate_domains(
    model: CheckpointModel,
    sources: Sequence[TextSource],
    stride: int | None,
    limit: int | None,
    display: Display,
    run_dir: str,
) -> list[Entry]:
    """Read the documents of sources; records that the run's folder has are not made again.

    Args:
        model: that reads.
        sources: of the documents.
        stride: of the windows; None takes `default_stride`.
        limit: documents of a source, the first ones; None takes all.
        display: told how it goes.
        run_dir: keeps the records.

    Raises:
        ConfigError: when the stride is not from 1 to the context.
    """
    step = stride or default_stride(model.context)
    if step > model.context:
        raise ConfigError(f"--stride {stride}: the model reads {model.context} tokens; give 1 to {model.context}")
    whole = sum(source.tokens * min(1, (limit or source.count) / max(1, source.count)) for source in sources)
    display.start("language modelling", round(whole), "tokens")
    entries: list[Entry] = []
    done = 0
    for source in sources:

        def moved(tokens: int, name: str = source.name) -> None:
            nonlocal done
            done += tokens
            display.move(done, name)

        file = _record_file(model, source, step, run_dir)
        records = read_documents(model, islice(source.documents, limit), step, file, moved)
        entries += [Entry(record, source.name, source.component, source.out_of_domain) for record in records]
    display.finish()
    return entries


def _record_file(model: CheckpointModel, source: TextSource, stride: int, run_dir: str) -> RecordFile:
    origin = {
        "weights": model.identity,
        "context": model.context,
        "stride": stride,
        "source": source.name,
        "group_size": model.settings.group_size,
        "capacity_factor": model.settings.capacity_factor,
        "code": code_identity("trainer.evaluation.language_modelling"),
        **source.origin,
    }
    name = f"{source.name}-{sha256_json(origin)[:16]}.jsonl"
    return RecordFile(join(run_dir, "evaluation", FOLDER, name), origin)
