"""A model answers the examples of a task: requests out, records in, chunk by chunk.

A record is JSON: `example` (its number), `file`, `line`, `demonstrations` (in the prompt), `dropped` (for want of
room), `truncated` (the example lost its beginning), and of a question `log_likelihoods` (nats), `tokens` (of the
continuations), `gold` and maybe `unconditional`; of an open question `prediction` and `answers`; of a text `nats`,
`words` and `bytes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from trainer.evaluation.evaluated_model import EvaluatedModel, GenerationRequest, LikelihoodRequest
from trainer.evaluation.examples import Example, OpenQuestion, Question, TaskReader
from trainer.evaluation.prompts import Asked, Asker, Rendered
from trainer.evaluation.record_file import Record, RecordFile
from trainer.evaluation.task import TaskSettings

CHUNK, DECODED_CHUNK = 512, 64
"""Examples whose requests are made, sorted and packed together, and written and told when they are done; fewer where
answers are decoded, token by token.
"""

OnExamples = Callable[[int], None]
"""Called with the number of examples that are done since the last time."""


def rendered(reader: TaskReader, task: TaskSettings, example: Example) -> Rendered:
    """Render an example by the task's kind."""
    if task.ranking is not None:
        return reader.question(example)
    return reader.open_question(example) if task.generation is not None else reader.text(example)


def answer(
    model: EvaluatedModel,
    asker: Asker,
    reader: TaskReader,
    task: TaskSettings,
    examples: Sequence[Example],
    file: RecordFile,
    on_examples: OnExamples,
) -> list[Record]:
    """Return the records of examples, in their order; those that the file has are not asked for again."""
    records = file.read()
    waiting = [example for example in examples if example.number not in records]
    on_examples(len(examples) - len(waiting))
    size = CHUNK if task.generation is None else DECODED_CHUNK
    for start in range(0, len(waiting), size):
        chunk = waiting[start : start + size]
        asked = asker.ask([(example, rendered(reader, task, example)) for example in chunk])
        made = _records(asked, _replies(model, asked))
        file.append(made)
        records |= {record["example"]: record for record in made}
        on_examples(len(chunk))
    return [records[example.number] for example in examples]


def _replies(model: EvaluatedModel, asked: Sequence[Asked]) -> list[list[Any]]:
    """Return, for every example, the reply to each of its requests: a log-likelihood or a text."""
    requests = [request for one in asked for request in one.requests]
    continuations = [request for request in requests if isinstance(request, LikelihoodRequest)]
    prompts = [request for request in requests if isinstance(request, GenerationRequest)]
    likelihoods = model.log_likelihoods(continuations).tolist() if continuations else []
    flat = iter([*likelihoods, *(model.generate(prompts) if prompts else [])])
    return [[next(flat) for _ in one.requests] for one in asked]


def _records(asked: Sequence[Asked], replies: Sequence[list[Any]]) -> list[Record]:
    return [
        {
            "example": one.example.number,
            "file": one.example.file,
            "line": one.example.line,
            "demonstrations": one.demonstrations,
            "dropped": one.dropped,
            "truncated": one.truncated,
            **_outcome(one, reply),
        }
        for one, reply in zip(asked, replies, strict=True)
    ]


def _outcome(asked: Asked, replies: list[Any]) -> Mapping[str, Any]:
    shown = asked.rendered
    if isinstance(shown, OpenQuestion):
        return {"prediction": replies[0].strip(), "answers": list(shown.answers)}
    if not isinstance(shown, Question):
        words, size = len(shown.text.split()), len(shown.text.encode())
        return {"nats": -float(np.sum(replies)), "words": words, "bytes": size}
    options = len(shown.continuations)
    own = [request for request in asked.requests[:options] if isinstance(request, LikelihoodRequest)]
    outcome = {
        "log_likelihoods": replies[:options],
        "tokens": [len(request.tokens) - request.start for request in own],
        "gold": list(shown.gold),
    }
    return outcome | ({"unconditional": replies[options:]} if len(replies) > options else {})
