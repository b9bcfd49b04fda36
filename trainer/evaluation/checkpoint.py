"""A checkpoint as the `EvaluatedModel` of an evaluation.

P mixture layers, K choices of a token.

In: a finished run and the version whose tokenizer it reads. Requests are packed into batches of one shape; equal ones
are scored once, so that equal options have equal likelihoods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import jax
import numpy as np

from pipelines.store.errors import GlamError
from pipelines.store.versions import Version
from trainer.batch import Batch
from trainer.config import TrainingConfig
from trainer.evaluation.evaluated_model import GenerationRequest, LikelihoodRequest
from trainer.evaluation.packing import Place, fill, pack_lengths
from trainer.evaluation.token_scores import TokenScores, compiled_token_scores
from trainer.generation.generate import LanguageModel, generate, load_language_model
from trainer.generation.settings import GenerationSettings
from trainer.model.parameters import Decoder
from trainer.model.routing import TokenRouting
from trainer.run_folder import RunResult, finished_result, read_run

BEAM_WIDTH = 4
ROWS = 64
"""Beams that are followed at a time, over all prompts."""

BATCH_TOKENS = 4096
"""Places of a batch, about: a whole number of rows and of routing groups."""

Scored = tuple[Sequence[tuple[int, LikelihoodRequest, Place]], TokenScores]


class Reading(NamedTuple):
    """What a model made of the targets of a request.

    Attributes:
        nats: (targets,) float64, cross-entropy.
        routing: of the token before each target, by mixture layer: experts (P, targets, K), entropy (P, targets); None
            of a dense model.
    """

    nats: np.ndarray
    routing: TokenRouting | None


def require_finished(run_dir: str, version: Version) -> tuple[TrainingConfig, RunResult]:
    """Return what a run was and came to.

    Raises:
        GlamError: when it is not finished, or the version is not one that its model can read.
    """
    run = read_run(run_dir)
    result = finished_result(run, run_dir)
    if result is None:
        raise GlamError(f"{run_dir}: the training is not finished; finish it with `glam train` first")
    if version.vocabulary_size != run["vocabulary_size"]:
        raise GlamError(
            f"{run_dir}: its model has {run['vocabulary_size']} tokens, version {version.name} has "
            f"{version.vocabulary_size}; evaluate on a version made with the same tokenizer"
        )
    return TrainingConfig.model_validate(run["config"]), result


class CheckpointModel:
    """A decoder with its tokenizer.

    Args:
        writer: both, with the model's settings and context.
        identity: hash of the weights.
    """

    def __init__(self, writer: LanguageModel, identity: str) -> None:
        self.writer, self.identity = writer, identity
        self.context, self.document_start = writer.context, writer.encoder.document_start_id
        # Requests of a row are kept apart even where the training joined documents.
        self.settings = writer.settings.model_copy(update={"attend_across_documents": False})
        self.rows = batch_rows(self.context, self.settings.group_size if self.settings.experts else 1)

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the token ids of texts, without the document start."""
        return self.writer.encoder.encode_batch(texts)

    def log_likelihoods(self, requests: Sequence[LikelihoodRequest]) -> np.ndarray:
        """Return the log-likelihood (nats) of every continuation, float64."""
        return self.score(requests)[0]

    def score(self, requests: Sequence[LikelihoodRequest]) -> tuple[np.ndarray, np.ndarray]:
        """Return (log-likelihood, whether each of its tokens is the likeliest one) of every continuation."""
        keys = [(request.tokens.tobytes(), request.start) for request in requests]
        first = {key: number for number, key in reversed(list(enumerate(keys)))}
        distinct = [requests[number] for number in first.values()]
        likelihoods, greedy = np.zeros(len(distinct)), np.zeros(len(distinct), bool)
        for placed, scores in self._scored(distinct, compiled_token_scores(self.settings)):
            nats, likeliest = np.asarray(scores.nats, np.float64), np.asarray(scores.likeliest)
            for number, request, place in placed:
                own = _targets(request, place)
                likelihoods[number] = -nats[place.row, own].sum()
                greedy[number] = likeliest[place.row, own].all()
        numbers = {key: number for number, key in enumerate(first)}
        chosen = np.array([numbers[key] for key in keys], np.int64)
        return likelihoods[chosen], greedy[chosen]

    def read(self, requests: Sequence[LikelihoodRequest]) -> list[Reading]:
        """Return what the model made of each target of every request."""
        readings: dict[int, Reading] = {}
        for placed, scores in self._scored(requests, compiled_token_scores(self.settings, routing=True)):
            nats = np.asarray(scores.nats, np.float64)
            routing = None if scores.routing is None else jax.device_get(scores.routing)
            for number, request, place in placed:
                row, own = place.row, _targets(request, place)
                routed = None if routing is None else TokenRouting(*(array[:, row, own] for array in routing))
                readings[number] = Reading(nats[row, own], routed)
        return [readings[number] for number in range(len(requests))]

    def generate(self, requests: Sequence[GenerationRequest]) -> list[str]:
        """Return what follows every prompt, by a beam search of width 4 as in the paper."""
        answers = [""] * len(requests)
        numbers: dict[tuple[int, tuple[str, ...]], list[int]] = {}
        for number, request in enumerate(requests):
            numbers.setdefault((request.most_tokens, request.stop), []).append(number)
        for (most_tokens, stop), own in numbers.items():
            settings = GenerationSettings(method="beam", beam_width=BEAM_WIDTH, max_tokens=most_tokens, stop=stop)
            found = generate(self.writer, [requests[number].tokens.tolist() for number in own], settings, rows=ROWS)
            for number, continuation in zip(own, found, strict=True):
                answers[number] = continuation.text
        return answers

    def _batches(self, requests: Sequence[LikelihoodRequest]) -> Iterator[list[tuple[int, LikelihoodRequest, Place]]]:
        places = pack_lengths([len(request.tokens) - 1 for request in requests], self.context)
        in_order = sorted(range(len(requests)), key=lambda number: places[number])
        for _, numbers in groupby(in_order, key=lambda number: places[number].row // self.rows):
            yield [(n, requests[n], Place(places[n].row % self.rows, places[n].first)) for n in numbers]

    def _scored(
        self, requests: Sequence[LikelihoodRequest], program: Callable[[Decoder, Batch], TokenScores]
    ) -> Iterator[Scored]:
        def dispatch(placed: list[tuple[int, LikelihoodRequest, Place]]) -> Scored:
            batch = fill([(request, place) for _, request, place in placed], self.rows, self.context)
            return placed, program(self.writer.decoder, batch)

        yield from _ahead(self._batches(requests), dispatch)


def load_checkpoint(run_dir: str, version: Version) -> CheckpointModel:
    """Return the newest checkpoint of a finished run.

    Args:
        run_dir: folder of the run.
        version: of the same tokenizer as the one trained on.

    Raises:
        GlamError: see `require_finished`.
    """
    _, result = require_finished(run_dir, version)
    return CheckpointModel(load_language_model(run_dir, version), result.weights)


def _targets(request: LikelihoodRequest, place: Place) -> slice:
    """Return where a row has the targets of a request."""
    return slice(place.first + request.start - 1, place.first + len(request.tokens) - 1)


def batch_rows(context: int, group: int) -> int:
    """Return how many rows make about BATCH_TOKENS places and whole groups."""
    rows = max(1, BATCH_TOKENS // context)
    while rows * context % group:
        rows += 1
    return rows


def _ahead(
    batches: Iterator[list[tuple[int, LikelihoodRequest, Place]]],
    dispatch: Callable[[list[tuple[int, LikelihoodRequest, Place]]], Scored],
) -> Iterator[Scored]:
    """Yield what is dispatched, always one batch behind, so that the next is made while one is computed."""
    waiting: Scored | None = None
    for batch in batches:
        running = dispatch(batch)
        if waiting is not None:
            yield waiting
        waiting = running
    if waiting is not None:
        yield waiting
