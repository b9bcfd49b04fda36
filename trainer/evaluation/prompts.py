"""From rendered examples to requests in token ids: demonstrations, then the example, within the model's context.

In: examples of a task, demonstrations of its training part. Out: the requests of each example. Demonstrations are drawn
by a keyed hash of draw, example and demonstration; each is followed by an empty line. Where the prompt exceeds the
context, demonstrations are dropped whole, the first ones first; where the example alone exceeds it, it loses its
beginning. Contexts and continuations are encoded apart, so the tokens of an option are the same in every context.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.store.hashing import KeyedHash
from trainer.evaluation.evaluated_model import EvaluatedModel, GenerationRequest, LikelihoodRequest, Purpose
from trainer.evaluation.examples import Example, OpenQuestion, Question, Text
from trainer.evaluation.windows import text_windows

SEPARATOR = "\n\n"

Rendered = Question | OpenQuestion | Text
Request = LikelihoodRequest | GenerationRequest


@dataclass(frozen=True)
class Demonstrations:
    """Demonstrations to draw from.

    Attributes:
        texts: rendered, each once.
        shots: drawn for an example; 0 for none.
        draw: number of the draw, from 0.
    """

    texts: tuple[str, ...] = ()
    shots: int = 0
    draw: int = 0

    def of(self, example: Example) -> list[str]:
        """Return the demonstrations of an example, in the order in which they are shown."""
        if not self.shots:
            return []
        draw = KeyedHash(self.draw, "demonstrations")
        place = f"{example.place} {example.number}\0"
        keys = draw.many((place + text).encode() for text in self.texts)
        chosen = sorted(range(len(keys)), key=keys.__getitem__)[: self.shots]
        return [self.texts[number] for number in chosen]


@dataclass(frozen=True)
class Asked:
    """The requests of one example.

    Attributes:
        example: whose they are.
        rendered: what it was rendered to.
        requests: of a question, one an option, then those of the unconditional contexts.
        demonstrations: that are in the prompt.
        dropped: demonstrations for which there was no room.
        truncated: whether the example itself lost its beginning.
    """

    example: Example
    rendered: Rendered
    requests: tuple[Request, ...]
    demonstrations: int = 0
    dropped: int = 0
    truncated: bool = False


class Asker:
    """Makes the requests of examples.

    Args:
        model: that is asked.
        demonstrations: to draw from.
        unconditional: whether questions that have unconditional contexts ask for those too.
        most_tokens: decoded, of open questions.
        stop: of open questions.
    """

    def __init__(
        self,
        model: EvaluatedModel,
        demonstrations: Demonstrations,
        unconditional: bool = False,
        most_tokens: int = 0,
        stop: tuple[str, ...] = (),
    ) -> None:
        self._model, self._demonstrations, self._unconditional = model, demonstrations, unconditional
        self._most_tokens, self._stop = most_tokens, stop
        self._start = np.array([model.document_start], np.int32)
        self._shots = dict(zip(demonstrations.texts, self._shown(demonstrations.texts), strict=True))

    def _shown(self, texts: Sequence[str]) -> list[np.ndarray]:
        encoded = self._model.encode([text + SEPARATOR for text in texts]) if texts else []
        return [tokens.astype(np.int32) for tokens in encoded]

    def ask(self, items: Sequence[tuple[Example, Rendered]]) -> list[Asked]:
        """Return the requests of some examples."""
        texts = sorted({text for _, rendered in items for text in _texts(rendered, self._unconditional)})
        encoded = [tokens.astype(np.int32) for tokens in self._model.encode(texts)]
        tokens = dict(zip(texts, encoded, strict=True))
        return [self._ask(example, rendered, tokens) for example, rendered in items]

    def _ask(self, example: Example, rendered: Rendered, tokens: dict[str, np.ndarray]) -> Asked:
        place = (example.file, example.line, example.number)
        if isinstance(rendered, Text):
            windows = text_windows(np.concatenate([self._start, tokens[rendered.text]]), self._model.context)
            asked = [LikelihoodRequest(*window, Purpose(place, number)) for number, window in enumerate(windows)]
            return Asked(example, rendered, tuple(asked))
        drawn = [self._shots[text] for text in self._demonstrations.of(example)]
        if isinstance(rendered, OpenQuestion):
            return self._open(example, rendered, tokens[rendered.context], drawn, Purpose(place))
        pairs = [
            (tokens[context], tokens[continuation])
            for context, continuation in zip(rendered.contexts, rendered.continuations, strict=True)
        ]
        kept = self._fitting(drawn, max(len(context) + len(rest) for context, rest in pairs), self._model.context + 1)
        options = [self._continuation(kept, *pair, Purpose(place, number)) for number, pair in enumerate(pairs)]
        truncated = any(cut for _, cut in options)
        if self._unconditional and rendered.unconditional:
            contexts = [tokens[context] for context in rendered.unconditional]
            options += [
                self._continuation([], context, rest, Purpose(place, number, True))
                for number, (context, (_, rest)) in enumerate(zip(contexts, pairs, strict=True))
            ]
        requests = tuple(request for request, _ in options)
        return Asked(example, rendered, requests, len(kept), len(drawn) - len(kept), truncated)

    def _open(
        self, example: Example, rendered: OpenQuestion, context: np.ndarray, drawn: list[np.ndarray], purpose: Purpose
    ) -> Asked:
        room = max(1, self._model.context - self._most_tokens)
        kept = self._fitting(drawn, len(context), room)
        whole = np.concatenate([self._start, *kept, context])
        request = GenerationRequest(whole[-room:], self._stop, self._most_tokens, purpose)
        return Asked(example, rendered, (request,), len(kept), len(drawn) - len(kept), len(whole) > room)

    def _fitting(self, drawn: list[np.ndarray], own: int, room: int) -> list[np.ndarray]:
        """Return the last demonstrations that fit with `own` tokens and the document start into `room`."""
        kept = list(drawn)
        while kept and 1 + own + sum(map(len, kept)) > room:
            kept.pop(0)
        return kept

    def _continuation(
        self, shown: Iterable[np.ndarray], context: np.ndarray, rest: np.ndarray, purpose: Purpose
    ) -> tuple[LikelihoodRequest, bool]:
        whole = np.concatenate([self._start, *shown, context, rest])
        cut = max(0, len(whole) - self._model.context - 1)
        return LikelihoodRequest(whole[cut:], max(1, len(whole) - len(rest) - cut), purpose), cut > 0


def _texts(rendered: Rendered, unconditional: bool) -> Iterable[str]:
    if isinstance(rendered, Text):
        return (rendered.text,)
    if isinstance(rendered, OpenQuestion):
        return (rendered.context,)
    return (*rendered.contexts, *rendered.continuations, *(rendered.unconditional if unconditional else ()))
