"""Tokenize: train one SentencePiece model for all versions, then encode every document that stays, once.

The model learns from a keyed sample of the training documents before any quality decision, so that it favors no
version. Tokens are stored as a decision beside the
documents: packing a filtered, an unfiltered and a random component then encodes nothing again.

In: documents, `deduplicate`, `holdout`. Out: `tokenizer/tokenizer.model`, decisions {count, tokens}. Alone: `python
-m pipelines.tokenize --config FILE --store DIR`.
"""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from pipelines.collect import Rule, collect_texts
from pipelines.corpus import Corpus, DecideShard, run_decision_stage
from pipelines.documents import read_table
from pipelines.progress import Display, Watch
from pipelines.store.errors import GlamError
from pipelines.store.files import digest_file, read_bytes, write_bytes
from pipelines.store.stages import FinishedStage, OpenStage, StageKey, StoredFile
from tokenizer.encode import Encoder
from tokenizer.settings import TokenizerSettings
from tokenizer.train import train_tokenizer
from tokenizer.train_process import train_with_progress

MODEL_PATH = "tokenizer/tokenizer.model"
SAMPLE_CHARACTERS_PER_DOCUMENT = 200_000


class TokenizerError(GlamError):
    """The tokenizer cannot be trained, or the existing one not be used; the message says why and what to do."""


def run_tokenizer(corpus: Corpus) -> FinishedStage:
    """Train the tokenizer (or take the existing model that the configuration names), unless that is finished."""
    settings = corpus.config.tokenizer
    recipe: dict[str, Any] = {"seed": corpus.config.seed, **settings.model_dump(exclude={"model"})}
    if settings.model is not None:
        inputs: dict[str, Any] = {"model": [digest_file(settings.model).sha256]}
    else:
        inputs = corpus.inputs("holdout")
        recipe |= {"weights": {name: str(weight) for name, weight in corpus.config.weights().items()}}
    key = StageKey("tokenizer", recipe, inputs, ("pipelines.tokenize", "tokenizer.train_process"), ("sentencepiece",))
    done = corpus.store.finished(key)
    if done is not None:
        return done
    stage = corpus.store.begin(key)
    side_files = []
    if settings.model is not None:
        model = read_bytes(settings.model)
    else:
        side_files.append(_collect_sample(corpus, stage))
        texts = read_table(stage.path("train_sample.parquet"), ["text"]).column("text").to_pylist()
        corpus.engine.display.say(f"  training a tokenizer of {settings.vocabulary_size} pieces on {len(texts)} texts")
        model = _train(texts, settings, corpus.engine.display)
    file = StoredFile.of(MODEL_PATH, write_bytes(stage.path(MODEL_PATH), model))
    try:
        encoder = Encoder(model, settings.model or MODEL_PATH)
    except ValueError as error:
        raise TokenizerError(f"tokenizer.model: {error}") from error
    summary = {
        "vocabulary_size": encoder.vocabulary_size,
        "token_dtype": encoder.dtype.name,
        "document_start_id": encoder.document_start_id,
        "padding_id": encoder.padding_id,
    }
    return stage.finish([file], summary=summary, side_files=side_files)


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


def _collect_sample(corpus: Corpus, stage: OpenStage) -> StoredFile:
    """Collect the training texts: of each component its weight's share of the sample, split evenly over its sources."""
    config = corpus.config
    weights = config.weights()
    rules = {}
    for component, weight in weights.items():
        sources = corpus.sources_of(component)
        for name in sources:
            quota = max(1, int(config.tokenizer.sample_bytes * weight / len(sources)))
            rules[name] = [Rule("text", (), quota, "bytes")]
    return collect_texts(corpus, stage, "tokenizer", rules, max_characters=SAMPLE_CHARACTERS_PER_DOCUMENT)


class _Encode(DecideShard):
    """Encodes the documents that stay."""

    job = "tokenize"
    columns = ("text",)
    decision_columns = {"deduplicate": ("reason",)}  # noqa: RUF012 - a constant of the class

    def __init__(self, model_url: str) -> None:
        self._model_url = model_url

    def setup(self) -> None:
        """Load the model once a worker."""
        self._encoder = Encoder(read_bytes(self._model_url))

    def decide(self, batch: dict[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
        """Return counts and tokens of a batch."""
        stays = batch["deduplicate.reason"].is_null()
        texts = batch["text"].filter(stays).to_pylist()
        encoded = iter(self._encoder.encode_batch(texts))
        rows = [next(encoded) if stay else None for stay in stays.to_pylist()]
        little = self._encoder.dtype.newbyteorder("<")
        columns = {
            "count": [None if row is None else len(row) for row in rows],
            "tokens": [None if row is None else row.astype(little, copy=False).tobytes() for row in rows],
        }
        return columns, {"in": len(texts), "out": len(texts)}


def run(corpus: Corpus, tokenizer: FinishedStage) -> FinishedStage:
    """Encode the corpus with a finished tokenizer, unless that is finished."""
    inputs = corpus.inputs("deduplicate") | {"tokenizer": tokenizer.output_id}
    key = StageKey("tokenize", {}, inputs, ("pipelines.tokenize",), ("pyarrow", "sentencepiece"))
    encode = _Encode(tokenizer.urls(MODEL_PATH)[0])

    def build(work: beam.PCollection) -> beam.PCollection:
        return work | "Encode" >> beam.ParDo(encode)

    return run_decision_stage(corpus, key, build, jobs=["deduplicate"])


def stored_tokens(array: pa.Array, dtype: str) -> list[Any]:
    """Return the token ids of a `tokens` column as numpy arrays (None where there are none)."""
    little = np.dtype(dtype).newbyteorder("<")
    return [None if not value.is_valid else np.frombuffer(value.as_buffer(), little) for value in array]


if __name__ == "__main__":
    from pipelines.job import main

    main("tokenize")
