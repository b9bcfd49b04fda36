"""Tokenize: train one SentencePiece model for all versions, then encode every document that stays, once.

The model learns from a keyed sample of the training documents before any quality decision, so that it favors no
version. Tokens are stored as a decision beside the
documents: packing a filtered, an unfiltered and a random component then encodes nothing again.

In: documents, `deduplicate`, `training`. Out: `tokenizer/tokenizer.model`, decisions {count, tokens}. Alone: `python
-m pipelines.tokenize --config FILE --store DIR`.
"""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from pipelines.collect import Rule, collect_texts
from pipelines.contamination.cuts import trained_texts
from pipelines.corpus import Corpus, DecideShard, run_decision_stage
from pipelines.documents import read_table
from pipelines.progress import Display, Watch
from pipelines.store.errors import GlamError
from pipelines.store.files import digest_file, read_bytes, write_bytes
from pipelines.store.repetition import exact
from pipelines.store.stages import FinishedStage, OpenStage, StageKey, StoredFile
from tokenizer.encode import Encoder
from tokenizer.settings import TokenizerSettings
from tokenizer.train import train_tokenizer
from tokenizer.train_process import train_with_progress

MODEL_PATH = "tokenizer/tokenizer.model"
SAMPLE_CHARACTERS_PER_DOCUMENT = 200_000
LONGEST_CHARACTER = 4
"""Bytes of the longest character in UTF-8."""
ENCODED_FIGURES = ("documents", "bytes", "tokens")
"""What the summary tells of each source: documents encoded, bytes of their texts, tokens without document starts."""


class TokenizerError(GlamError):
    """The tokenizer cannot be trained, or the existing one not be used; the message says why and what to do."""


def run_tokenizer(corpus: Corpus) -> FinishedStage:
    """Train the tokenizer (or take the existing model that the configuration names), unless that is finished."""
    settings = corpus.config.tokenizer
    recipe: dict[str, Any] = {"seed": corpus.config.seed, **settings.model_dump(exclude={"model"})}
    if settings.model is not None:
        inputs: dict[str, Any] = {"model": [_digest_model(settings.model)]}
    else:
        inputs = corpus.inputs("training")
        recipe |= {"weights": {name: str(weight) for name, weight in corpus.config.weights().items()}}
    key = StageKey("tokenizer", recipe, inputs, ("pipelines.tokenize", "tokenizer.train_process"), ("sentencepiece",))
    done = corpus.store.finished(key)
    if done is not None:
        return done
    stage = corpus.store.begin(key)
    side_files: list[StoredFile] = []
    sample: dict[str, dict[str, int]] = {}
    if settings.model is not None:
        model = read_bytes(settings.model)
    else:
        file, quotas = _collect_sample(corpus, stage)
        side_files.append(file)
        collected = read_table(stage.path(file.path), ["label", "text"])
        sample = _describe_sample(collected, quotas, corpus.engine.display)
        texts = collected.column("text").to_pylist()
        corpus.engine.display.say(f"  training a tokenizer of {settings.vocabulary_size} pieces on {len(texts)} texts")
        model = _train(texts, settings, corpus.engine.display)
    model_file = StoredFile.of(MODEL_PATH, write_bytes(stage.path(MODEL_PATH), model))
    try:
        encoder = Encoder(model, settings.model or MODEL_PATH)
    except ValueError as error:
        raise TokenizerError(f"tokenizer.model: {error}") from error
    summary = {
        "vocabulary_size": encoder.vocabulary_size,
        "token_dtype": encoder.dtype.name,
        "document_start_id": encoder.document_start_id,
        "padding_id": encoder.padding_id,
        "sample": sample,
    }
    return stage.finish([model_file], summary=summary, side_files=side_files)


def _digest_model(url: str) -> str:
    try:
        return digest_file(url).sha256
    except OSError as error:
        raise TokenizerError(
            f"tokenizer.model: {url} cannot be read ({error.strerror or error}); give the file of a SentencePiece model"
        ) from error


def _train(texts: list[str], settings: TokenizerSettings, display: Display) -> bytes:
    """Train with the share done and the time left on the display; a BPE training tells only how long it takes."""
    try:
        if settings.model_type == "bpe":
            with Watch(display, "train tokenizer", None, ""):
                return train_tokenizer(texts, settings)
        display.start("train tokenizer", 100, "%")
        model = train_with_progress(texts, settings, lambda share: display.move(100 * share))
        display.finish()
        return model
    except (ValueError, RuntimeError) as error:
        raise TokenizerError(f"tokenizer: {error}") from error


def _collect_sample(corpus: Corpus, stage: OpenStage) -> tuple[StoredFile, dict[str, int]]:
    """Collect the training texts; also return the bytes asked of each component, its weight's share of the sample.

    Of a component they come first in the order of the keyed hash over all its sources: each source gives by its size.
    Every shard offers twice its part, so that uneven shards make up for one another.
    """
    config = corpus.config
    quotas = {name: max(1, int(config.tokenizer.sample_bytes * exact(w))) for name, w in config.weights().items()}
    rules = {
        source: [Rule(component, (), 2 * quotas[component], "bytes")]
        for component in quotas
        for source in corpus.sources_of(component)
    }
    limit = SAMPLE_CHARACTERS_PER_DOCUMENT
    return collect_texts(corpus, stage, "tokenizer", rules, max_characters=limit, label_quotas=quotas), quotas


def _describe_sample(sample: pa.Table, quotas: dict[str, int], display: Display) -> dict[str, dict[str, int]]:
    """Return bytes asked, bytes found and texts of each component; say which have less text than their share."""
    found = {name: {"asked": quota, "bytes": 0, "texts": 0} for name, quota in sorted(quotas.items())}
    for component, text in zip(sample.column("label").to_pylist(), sample.column("text").to_pylist(), strict=True):
        found[component]["bytes"] += len(text.encode())
        found[component]["texts"] += 1
    for component, entry in found.items():
        if entry["bytes"] < entry["asked"] - LONGEST_CHARACTER:
            display.say(
                f"  tokenizer sample: {component} has {entry['bytes']:,} bytes of training text for its share of "
                f"{entry['asked']:,}; all of it is taken"
            )
    return found


class _Encode(DecideShard):
    """Encodes the documents that stay."""

    job = "tokenize"
    columns = ("text",)
    decision_columns = {"deduplicate": ("reason",)}  # noqa: RUF012 - a constant of the class

    def __init__(self, model_url: str, cut: bool) -> None:
        self._model_url = model_url
        if cut:
            self.decision_columns = {**self.decision_columns, "training": ("spans",)}

    def setup(self) -> None:
        """Load the model once a worker."""
        self._encoder = Encoder(read_bytes(self._model_url))

    def begin(self, work: dict[str, Any]) -> None:
        """Start the shard's figures."""
        super().begin(work)
        self._totals = dict.fromkeys(ENCODED_FIGURES, 0)

    def figures(self) -> dict[str, Any]:
        """Return documents, bytes of their text and tokens of the shard."""
        return {"encoded": self._totals}

    def decide(self, batch: dict[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
        """Return counts and tokens of a batch."""
        stays = batch["deduplicate.reason"].is_null()
        texts = trained_texts(batch).filter(stays).to_pylist()
        encoded = iter(self._encoder.encode_batch(texts))
        rows = [next(encoded) if stay else None for stay in stays.to_pylist()]
        little = self._encoder.dtype.newbyteorder("<")
        counts = [None if row is None else len(row) for row in rows]
        sizes = (len(texts), sum(len(text.encode()) for text in texts), sum(filter(None, counts)))
        for figure, size in zip(ENCODED_FIGURES, sizes, strict=True):
            self._totals[figure] += size
        columns = {
            "count": counts,
            "tokens": [None if row is None else row.astype(little, copy=False).tobytes() for row in rows],
        }
        return columns, {"in": len(texts), "out": len(texts)}


def _summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    encoded: dict[str, dict[str, int]] = {}
    for result in results:
        totals = encoded.setdefault(result["source"], dict.fromkeys(ENCODED_FIGURES, 0))
        for figure, size in result["encoded"].items():
            totals[figure] += size
    return {"encoded": encoded}


def run(corpus: Corpus, tokenizer: FinishedStage) -> FinishedStage:
    """Encode the corpus with a finished tokenizer, unless that is finished."""
    cut = "spans" in corpus.training_columns
    jobs = ["deduplicate", "training"] if cut else ["deduplicate"]
    inputs = corpus.inputs(*jobs) | {"tokenizer": tokenizer.output_id}
    key = StageKey("tokenize", {}, inputs, ("pipelines.tokenize",), ("pyarrow", "sentencepiece"))
    encode = _Encode(tokenizer.urls(MODEL_PATH)[0], cut)

    def build(work: beam.PCollection) -> beam.PCollection:
        return work | "Encode" >> beam.ParDo(encode)

    return run_decision_stage(corpus, key, build, jobs=jobs, summarize=_summary)


def stored_tokens(array: pa.Array, dtype: str) -> list[Any]:
    """Return the token ids of a `tokens` column as numpy arrays (None where there are none)."""
    little = np.dtype(dtype).newbyteorder("<")
    return [None if not value.is_valid else np.frombuffer(value.as_buffer(), little) for value in array]


if __name__ == "__main__":
    from pipelines.job import main

    main("tokenize")
