"""When a continuation is over: a token that ends it, a text in it, or its length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Reason = Literal["id", "text", "length"]
"""Why a continuation ended: on one of the stop ids, on one of the stop texts, or with all the tokens it may have."""

Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True)
class Continuation:
    """What a prompt was gone on with.

    Attributes:
        ids: the tokens, the one that ended it included.
        text: of the tokens, without what ended it.
        log_probability: of the tokens after the prompt, in nats.
        reason: why it ended.
        cut: tokens that the prompt lost at its left, for the context to hold prompt and continuation.
    """

    ids: tuple[int, ...]
    text: str
    log_probability: float
    reason: Reason
    cut: int = 0


@dataclass(frozen=True)
class Stop:
    """What ends a continuation.

    Attributes:
        ids: tokens.
        texts: texts, wherever they stand in the continuation's own text, across tokens and within one.
        max_tokens: length.
        decode: turns tokens to text.
    """

    ids: frozenset[int]
    texts: tuple[str, ...]
    max_tokens: int
    decode: Decode

    def reason(self, ids: Sequence[int]) -> Reason | None:
        """Say why a continuation of these tokens is over; None if it is not. None of its beginnings was."""
        if ids[-1] in self.ids:
            return "id"
        if self.texts and self._first_text(self.decode(ids)) is not None:
            return "text"
        return "length" if len(ids) >= self.max_tokens else None

    def finish(self, ids: Sequence[int], log_probability: float, reason: Reason) -> Continuation:
        """Return a continuation that is over."""
        text = self.decode(ids[:-1] if reason == "id" else ids)
        return Continuation(tuple(ids), text[: self._first_text(text)], log_probability, reason)

    def _first_text(self, text: str) -> int | None:
        """Return where the first of the stop texts begins."""
        return min((place for stop in self.texts if (place := text.find(stop)) >= 0), default=None)
