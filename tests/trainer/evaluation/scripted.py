"""Language models without weights: one that knows the answers, one that guesses, one that always says the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from pipelines.progress import SilentDisplay
from pipelines.store.hashing import KeyedHash
from trainer.evaluation.evaluate import Asking, Set, evaluate_tasks, open_set
from trainer.evaluation.evaluated_model import GenerationRequest, LikelihoodRequest, Purpose
from trainer.evaluation.results import TaskResult
from trainer.evaluation.task import Catalogue

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "evaluation"


@cache
def catalogue() -> Catalogue:
    return Catalogue(str(CONFIGS))


def real_sets() -> str:
    folder = os.environ.get("GLAM_EVAL")
    if not folder:
        pytest.skip("GLAM_EVAL is not set: no native evaluation sets")
    return folder


@cache
def real_set(name: str, limit: int | None = None) -> Set:
    return open_set(name, catalogue(), real_sets(), limit)


class Scripted:
    """Tokens are bytes; the log-likelihood of a token is `of_token(purpose)`, an answer `says(purpose)`.

    Where `normalized` is not wanted, that number is the log-likelihood of the whole continuation.
    """

    identity, document_start = "scripted", 0

    def __init__(
        self,
        of_token: Callable[[Purpose], float] = lambda _: -1.0,
        says: Callable[[Purpose], str] = lambda _: "",
        context: int = 1 << 20,
        normalized: bool = True,
    ) -> None:
        self.context = context
        self._normalized = normalized
        self._of_token, self._says = of_token, says
        self.asked: list[LikelihoodRequest | GenerationRequest] = []

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [np.frombuffer(text.encode(), np.uint8).astype(np.int32) + 1 for text in texts]

    def log_likelihoods(self, requests: Sequence[LikelihoodRequest]) -> np.ndarray:
        self.asked += requests
        lengths = [len(one.tokens) - one.start if self._normalized else 1 for one in requests]
        return np.array([self._of_token(one.purpose) * length for one, length in zip(requests, lengths, strict=True)])

    def generate(self, requests: Sequence[GenerationRequest]) -> list[str]:
        self.asked += requests
        return [self._says(one.purpose) for one in requests]


def oracle(one: Set) -> Scripted:
    """Knows what is right: a right option has likelihood 1, an open question is answered as in a demonstration."""
    places = {(example.file, example.line, example.number): example for example in one.examples}

    @cache
    def gold(place: tuple[str, int, int]) -> tuple[int, ...]:
        return one.reader.question(places[place]).gold

    return Scripted(
        lambda purpose: 0.0 if purpose.unconditional or purpose.option in gold(purpose.place) else -1.0,
        lambda purpose: one.reader.open_question(places[purpose.place]).target + "\n",
    )


def guessing(normalized: bool = True) -> Scripted:
    """Gives every option a keyed random number; it counts by token where scores are divided by tokens."""
    hashed = KeyedHash(7, "guess")

    def number(purpose: Purpose) -> float:
        return -hashed(f"{purpose}".encode()) / 2**64

    return Scripted(number, normalized=normalized)


def choosing(option: int | None, normalized: bool = True) -> Scripted:
    """Finds one option, by its number, always the best; with None all equally good."""
    return Scripted(lambda purpose: 0.0 if option in (None, purpose.option) else -1.0, normalized=normalized)


def run(model: Scripted, one: Set, asking: Asking | None = None, **options) -> dict[str, TaskResult]:
    return evaluate_tasks(model, [one], asking or Asking(), SilentDisplay(), **options)[one.name]
