"""Prompts and answers to token streams of which the answer alone counts.

In: a file of JSON lines with the fields `prompt` and `answer`. Out: of every line one stream: document start, prompt,
answer, document start. Prompt and answer are encoded apart, so that the answer follows the very tokens that a prompt is
generated from; the document start at the end teaches to stop.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pydantic import Field

from pipelines.store.configuration import ConfigError, Settings
from tokenizer.encode import Encoder
from trainer.json_lines import read_json_lines


class ExampleLine(Settings):
    """A line of the file."""

    prompt: str
    answer: str = Field(min_length=1)


class Example(NamedTuple):
    """A prompt and its answer.

    Attributes:
        tokens: (n + 1,) int32 token ids, of which the first n are inputs and the last n targets.
        prompt: inputs before the one whose target is the first token of the answer.
        cut: tokens that the prompt lost at its left, for the example to fit into a sequence.
    """

    tokens: np.ndarray
    prompt: int
    cut: int


def read_examples(path: str, encoder: Encoder, length: int) -> list[Example]:
    """Return the examples of a file in its order, none of more than `length` inputs.

    Raises:
        ConfigError: when a line is wrong, with file, line and field, or an answer fills a sequence by itself.
    """
    lines = read_json_lines(path, ExampleLine)
    prompts = encoder.encode_batch([line.prompt for line in lines])
    answers = encoder.encode_batch([line.answer for line in lines])
    for number, answer in enumerate(answers, 1):
        if len(answer) + 1 > length - 1:
            raise ConfigError(
                f"{path}: example {number}: answer: has {len(answer)} tokens, a sequence of {length} has room for "
                f"{length - 2} beside a prompt; shorten or split it"
            )
    start = encoder.document_start_id
    return [_example(prompt, answer, start, length) for prompt, answer in zip(prompts, answers, strict=True)]


def _example(prompt: np.ndarray, answer: np.ndarray, start: int, length: int) -> Example:
    whole = np.concatenate([[start], prompt, answer, [start]]).astype(np.int32)
    cut = max(0, len(whole) - 1 - length)
    return Example(whole[cut:], len(prompt) - cut, cut)
