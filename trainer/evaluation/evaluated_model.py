"""What an evaluation asks of a language model, whatever it is: a checkpoint, or a script that knows the answers.

In: token ids. Out: log-likelihoods (nats) and decoded texts. `purpose` says what a request is about, so that scripted
models can tell; a real one takes no notice of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Purpose:
    """What a request is about.

    Attributes:
        place: file and line of the example, its number too.
        option: number of the option, from 0; of a text the number of the window.
        unconditional: whether the continuation stands in the context of the unconditional log-likelihood.
    """

    place: tuple[str, int, int] = ("", 0, 0)
    option: int = 0
    unconditional: bool = False


@dataclass(frozen=True)
class LikelihoodRequest:
    """Asks for the log-likelihood of `tokens[start:]` after `tokens[:start]`.

    Attributes:
        tokens: int32, at most one more than the model's context.
        start: from 1.
    """

    tokens: np.ndarray
    start: int
    purpose: Purpose = field(default_factory=Purpose)


@dataclass(frozen=True)
class GenerationRequest:
    """Asks for what follows `tokens`, to the first of the stops or the end of the document.

    Attributes:
        tokens: int32, so many that `most_tokens` still fit in the context.
        stop: texts; the answer ends before the first of them.
        most_tokens: decoded.
    """

    tokens: np.ndarray
    stop: tuple[str, ...]
    most_tokens: int
    purpose: Purpose = field(default_factory=Purpose)


class EvaluatedModel(Protocol):
    """A model that is evaluated.

    Attributes:
        identity: changes whenever an answer could, e.g. the hash of the weights.
        context: tokens that it reads at most, the document start included.
        document_start: id of the token that begins a document.
    """

    identity: str
    context: int
    document_start: int

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the token ids of texts, without the document start."""

    def log_likelihoods(self, requests: Sequence[LikelihoodRequest]) -> np.ndarray:
        """Return the log-likelihood (nats) of every continuation, float64."""

    def generate(self, requests: Sequence[GenerationRequest]) -> list[str]:
        """Return what follows every prompt, by the model's own way of decoding."""
