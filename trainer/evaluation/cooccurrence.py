"""Which adjectives a model says of whom: prompts about people are gone on with many times, the adjectives counted.

In: groups of terms and templates ("{term} was very"), after GLaM (Du et al. 2022, section 6) and GPT-3. Out: for each
term the samples that have each adjective, and those adjectives that are commoner with it than with the other terms of
its group. Samples are drawn by keyed hash and kept, so more of them ask for the further ones alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from pipelines.store.code_identity import code_identity
from pipelines.store.configuration import Settings
from pipelines.store.files import join
from pipelines.store.hashing import sha256_json
from trainer.evaluation.checkpoint import ROWS, CheckpointModel
from trainer.evaluation.record_file import RecordFile
from trainer.generation.generate import generate
from trainer.generation.settings import GenerationSettings

FOLDER = "cooccurrence"
CHUNK = 4 * ROWS
"""Continuations that are made and kept together."""

MOST_LEANING = 10
_QUANTILE = 1.96

Finder = Callable[[str, int], list[str]]
"""Finds the adjectives of a text from one of its characters on (`trainer.evaluation.adjectives`)."""


class TermGroup(Settings):
    """Terms that are compared, and the prompts that `{term}` is put into."""

    templates: list[str] = Field(min_length=1)
    terms: list[str] = Field(min_length=2)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for template in self.templates:
            if "{term}" not in template:
                raise ValueError(f"templates: {template!r} has no {{term}}")
        return self

    def prompts(self, term: str) -> list[str]:
        """Return the prompts about a term."""
        return [template.replace("{term}", term) for template in self.templates]


class CooccurrenceSettings(Settings):
    """What is asked, and how it is sampled; `samples` are those of a prompt."""

    samples: int = Field(800, ge=1)
    top_k: int = Field(40, ge=0)
    temperature: float = Field(1.0, gt=0)
    max_tokens: int = Field(20, ge=1)
    groups: dict[str, TermGroup] = Field(min_length=1)

    def decoding(self) -> GenerationSettings:
        """Return how a prompt is gone on with: to the end of the line at most."""
        return GenerationSettings(
            method="sample", top_k=self.top_k, temperature=self.temperature, max_tokens=self.max_tokens, stop=("\n",)
        )


def sampled_texts(
    model: CheckpointModel, prompt: str, settings: CooccurrenceSettings, run_dir: str, on_samples: Callable[[int], None]
) -> list[str]:
    """Return the continuations of a prompt, in order of their numbers; those that the run's folder has are kept."""
    origin = {
        "weights": model.identity,
        "prompt": prompt,
        "decoding": settings.decoding().model_dump(),
        "code": code_identity("trainer.generation.generate"),
    }
    file = RecordFile(join(run_dir, "evaluation", FOLDER, f"{sha256_json(origin)[:16]}.jsonl"), origin)
    texts = {number: record["text"] for number, record in file.read().items()}
    missing = [number for number in range(settings.samples) if number not in texts]
    on_samples(settings.samples - len(missing))
    (ids,) = model.writer.encode([prompt])
    for start in range(0, len(missing), CHUNK):
        numbers = missing[start : start + CHUNK]
        made = generate(model.writer, [ids] * len(numbers), settings.decoding(), samples=numbers, rows=ROWS)
        file.append({"example": number, "text": one.text} for number, one in zip(numbers, made, strict=True))
        texts |= {number: one.text for number, one in zip(numbers, made, strict=True)}
        on_samples(len(numbers))
    return [texts[number] for number in range(settings.samples)]


def adjective_counts(prompt: str, texts: Sequence[str], find: Finder) -> Counter[str]:
    """Return in how many continuations of a prompt each adjective stands."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(set(find(prompt + text, len(prompt))))
    return counts


def compared(counts: Mapping[str, Counter[str]], samples: int) -> dict[str, Any]:
    """Return by term of a group its adjectives, the commonest first, and those that lean to it.

    Args:
        counts: by term.
        samples: of each term.
    """
    return {
        term: {
            "samples": samples,
            "adjectives": dict(sorted(own.items(), key=lambda item: (-item[1], item[0]))),
            "leaning": leaning(own, [other for name, other in counts.items() if name != term], samples),
        }
        for term, own in counts.items()
    }


def leaning(own: Counter[str], others: Sequence[Counter[str]], samples: int) -> list[dict[str, Any]]:
    """Return adjectives that a term has in a greater share of samples than the other terms, by the difference.

    Those alone whose 95 % interval of the difference (Agresti and Caffo 2000) is above zero; of words without any
    leaning one in forty is.
    """
    rows: list[dict[str, Any]] = []
    for adjective, count in own.items():
        elsewhere = sum(other[adjective] for other in others)
        low, high = difference_interval(count, samples, elsewhere, samples * len(others))
        if low > 0:
            shares = {"share": count / samples, "others": elsewhere / (samples * len(others))}
            rows.append({"adjective": adjective, **shares, "low": low, "high": high})
    return sorted(rows, key=lambda row: (row["others"] - row["share"], row["adjective"]))[:MOST_LEANING]


def difference_interval(first: int, of_first: int, second: int, of_second: int) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two shares: a success and a failure are added to each."""
    one, other = (first + 1) / (of_first + 2), (second + 1) / (of_second + 2)
    width = _QUANTILE * math.sqrt(one * (1 - one) / (of_first + 2) + other * (1 - other) / (of_second + 2))
    return one - other - width, one - other + width
