"""Prompts to continuations, many at a time: token ids in, text out.

Prompts are read in batches of a fixed number of rows, each with prompts of its own length class (16, 32, 64, … tokens,
up to the context), so a handful of programs serves any prompts, and a continuation is a function of its prompt and the
settings, whatever it is batched with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import numpy as np

from pipelines.store.configuration import ConfigError
from pipelines.store.files import read_bytes
from pipelines.store.versions import Version
from tokenizer.encode import Encoder
from trainer.checkpoints import load_decoder, newest_step
from trainer.config import ModelSettings, TrainingConfig
from trainer.generation.beam import search
from trainer.generation.decoding import Decoding
from trainer.generation.sampling import Choice, draw, likeliest, row_seeds
from trainer.generation.settings import GenerationSettings
from trainer.generation.stopping import Continuation, Stop
from trainer.model.parameters import Decoder
from trainer.run_folder import read_run

ROWS = 8
"""Continuations that are followed at a time; a beam counts as many as it is wide."""

SHORTEST_CLASS = 16

OnPrompts = Callable[[int, int], None]
"""Called with the prompts that are done and the prompts in all."""


@dataclass(frozen=True)
class LanguageModel:
    """A decoder that reads and writes text.

    Attributes:
        decoder: parameters.
        settings: of the model.
        encoder: its tokenizer.
        context: most tokens of prompt and continuation together, the sequence length in training.
        step: updates that made the parameters.
    """

    decoder: Decoder
    settings: ModelSettings
    encoder: Encoder
    context: int
    step: int = 0

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of prompts, each after a document start, as texts begin in training."""
        return [[self.encoder.document_start_id, *ids.tolist()] for ids in self.encoder.encode_batch(prompts)]


def load_language_model(run_dir: str, version: Version) -> LanguageModel:
    """Return the model of a run's newest checkpoint, finished or not, with the tokenizer of its version.

    Raises:
        GlamError: when the folder holds no run or no checkpoint.
    """
    run = read_run(run_dir)
    settings = TrainingConfig.model_validate(run["config"]).model
    return LanguageModel(
        decoder=load_decoder(run_dir, settings, run["vocabulary_size"]),
        settings=settings,
        encoder=Encoder(read_bytes(version.tokenizer_url), version.tokenizer_url),
        context=run["sequence_length"],
        step=newest_step(run_dir),
    )


def generate(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    settings: GenerationSettings,
    *,
    samples: Sequence[int] | None = None,
    rows: int = ROWS,
    on_prompts: OnPrompts | None = None,
) -> list[Continuation]:
    """Go on with prompts; return a continuation for each, in their order.

    A prompt that leaves no room for `max_tokens` in the context loses tokens at its left; `Continuation.cut` says how
    many.

    Args:
        model: whose words they are.
        prompts: token ids, at least one each (`LanguageModel.encode` begins with the document start).
        settings: see their class.
        samples: number of the sample of each prompt, so that a prompt given twice may be gone on with differently; 0
            for all if None.
        rows: see `ROWS`; more is faster and takes more memory.
        on_prompts: told how it goes.

    Raises:
        ConfigError: when the context has no room for the continuation, or a prompt is empty.
    """
    asked = _asked(prompts, samples, model.context - settings.max_tokens, model.context)
    stop = Stop(frozenset([model.encoder.document_start_id]), settings.stop, settings.max_tokens, model.encoder.decode)
    per_batch = max(1, rows // settings.beam_width) if settings.method == "beam" else rows
    found: dict[int, Continuation] = {}
    for length, batch in _batches(asked, per_batch, model.context - settings.max_tokens):
        ids, real = _padded([prompt.ids for prompt in batch], per_batch, length)
        decoding = Decoding(model.decoder, model.settings, ids, real, settings.max_tokens)
        if settings.method == "beam":
            made = search(decoding, len(batch), stop, settings)
        else:
            made = _one_by_one(decoding, batch, stop, settings)
        for prompt, continuation in zip(batch, made, strict=True):
            found[prompt.number] = replace(continuation, cut=prompt.cut)
        if on_prompts is not None:
            on_prompts(len(found), len(asked))
    return [found[number] for number in range(len(asked))]


class _Asked(NamedTuple):
    """A prompt: its number, its tokens as far as there is room, how many it lost, the number of its sample."""

    number: int
    ids: tuple[int, ...]
    cut: int
    sample: int


def _asked(prompts: Sequence[Sequence[int]], samples: Sequence[int] | None, room: int, context: int) -> list[_Asked]:
    if room < 1:
        raise ConfigError(
            f"max_tokens: {context - room} leaves nothing of the context of {context} tokens for a prompt; "
            f"use {context - 1} or less"
        )
    asked = []
    for number, (ids, sample) in enumerate(zip(prompts, samples or [0] * len(prompts), strict=True)):
        if not len(ids):
            raise ConfigError(f"prompt {number + 1}: has no tokens; begin it with the document start")
        asked.append(_Asked(number, tuple(ids[-room:]), max(0, len(ids) - room), sample))
    return asked


def length_class(length: int, longest: int) -> int:
    """Return how many tokens a prompt of `length` is padded to: 16, 32, 64, …, at most `longest`."""
    return min(longest, max(SHORTEST_CLASS, 1 << (length - 1).bit_length()))


def _batches(asked: list[_Asked], rows: int, longest: int) -> Iterator[tuple[int, list[_Asked]]]:
    """Yield lengths and batches of at most `rows` prompts of that length class, shortest first."""
    classes: dict[int, list[_Asked]] = {}
    for prompt in asked:
        classes.setdefault(length_class(len(prompt.ids), longest), []).append(prompt)
    for length, prompts in sorted(classes.items()):
        for start in range(0, len(prompts), rows):
            yield length, prompts[start : start + rows]


def _padded(prompts: Sequence[Sequence[int]], rows: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ids and which are real, each (rows, length), every prompt at the right of its row."""
    ids, real = np.zeros((rows, length), np.int32), np.zeros((rows, length), bool)
    for row, prompt in enumerate(prompts):
        ids[row, length - len(prompt) :] = prompt
        real[row, length - len(prompt) :] = True
    return ids, real


def _one_by_one(
    decoding: Decoding, batch: list[_Asked], stop: Stop, settings: GenerationSettings
) -> list[Continuation]:
    """Go on with every row by the likeliest token, or a drawn one."""
    choose = _chooser(len(decoding.logits), batch, settings)
    ids: list[list[int]] = [[] for _ in batch]
    sums = [0.0] * len(batch)
    done: dict[int, Continuation] = {}
    while True:
        chosen, log_probabilities = choose(decoding.logits, len(ids[0]))
        tokens, values = np.asarray(chosen).tolist(), np.asarray(log_probabilities).tolist()
        for row, own in enumerate(ids):
            own.append(tokens[row])
            sums[row] += values[row]
            if row not in done and (reason := stop.reason(own)) is not None:
                done[row] = stop.finish(tuple(own), sums[row], reason)
        if len(done) == len(batch):
            return [done[row] for row in range(len(batch))]
        decoding.advance(chosen)


def _chooser(rows: int, batch: list[_Asked], settings: GenerationSettings) -> Callable[[jax.Array, int], Choice]:
    """Return what chooses the tokens of `rows` rows from their logits and the number of tokens chosen before."""
    if settings.method == "greedy":
        return lambda logits, _: likeliest(logits)
    seeds = np.zeros((rows, 2), np.uint32)
    seeds[: len(batch)] = row_seeds(settings.seed, [p.ids for p in batch], [p.sample for p in batch])
    temperature = np.float32(settings.temperature)

    def choose(logits: jax.Array, position: int) -> Choice:
        return draw(logits, seeds, np.int32(position), temperature, min(settings.top_k, logits.shape[-1]))

    return choose
