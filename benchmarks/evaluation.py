"""Tokens a CPU second of a whole evaluation of questions, beside the model's forward pass alone, in one run.

    python benchmarks/evaluation.py

A model of the demo's size with fresh weights answers questions made from real text (a passage, four ways it may go on,
of many lengths). Ours is everything: reading the set, rendering, encoding, packing, scoring, writing the answers, the
intervals. The peer is the compiled forward pass with its cross-entropy on full batches of the same shape, which nothing
can be faster than that reads every token once. Tokens are those of the requests, padding not counted.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
from figures import Figure, show
from real_text import pages

from pipelines.progress import SilentDisplay
from tokenizer.encode import Encoder
from tokenizer.settings import TokenizerSettings
from tokenizer.train import train_tokenizer
from trainer.batch import Batch
from trainer.config import ModelSettings
from trainer.evaluation.checkpoint import CheckpointModel
from trainer.evaluation.evaluate import Asking, evaluate_tasks, open_set
from trainer.evaluation.task import Catalogue
from trainer.evaluation.token_scores import compiled_token_scores
from trainer.generation.generate import LanguageModel
from trainer.model.parameters import initialize

NAME = "evaluation"
QUESTIONS = 300
CONTEXT = 128
VOCABULARY = 4096
OPTIONS = 4
GOAL = 0.6
UNIT = "k tokens / CPU s"
SET = '[sets.made]\nfiles = ["{folder}/made.jsonl"]\nfields = ["passage"]\n'
TASK = (
    'set = "made"\ntitle = "Made"\n[fields]\npassage = "passage"\nendings = "endings"\n[ranking]\n'
    'context = "{{ passage }}"\noptions = "endings"\ngold = "0"\n'
)


def write_set(folder: Path, documents: list[str]) -> None:
    """Write questions whose passages have 10 to 60 words and whose endings have 1 to 20."""
    sizes = np.random.default_rng(0)
    words = [word for document in documents for word in document.split()]
    lines, place = [], 0
    while len(lines) < QUESTIONS:
        passage, *endings = (int(sizes.integers(*limits)) for limits in ((10, 61), *[(1, 21)] * OPTIONS))
        parts = []
        for size in (passage, *endings):
            parts.append(" ".join(words[place % len(words) :][:size]) or "end")
            place += size
        lines.append(json.dumps({"passage": parts[0], "endings": parts[1:]}))
    (folder / "tasks").mkdir()
    (folder / "tasks" / "made.toml").write_text(TASK)
    (folder / "sets.toml").write_text(SET)
    (folder / "suites.toml").write_text("[suites]\n")
    (folder / "made.jsonl").write_text("\n".join(lines) + "\n")


class Counting(CheckpointModel):
    """Counts the tokens that it is asked to read."""

    read = 0

    def score(self, requests):
        """Count, then score."""
        self.read += sum(len(request.tokens) - 1 for request in requests)
        return super().score(requests)


def forward_rate(model: CheckpointModel, batches: int) -> float:
    """Return tokens a CPU second of the compiled pass on full batches."""
    shape = model.rows, model.context
    tokens = np.random.default_rng(1).integers(3, VOCABULARY, shape).astype(np.int32)
    batch = Batch(tokens, tokens, np.ones(shape, np.int32), np.ones(shape, bool))
    program = compiled_token_scores(model.settings)
    jax.block_until_ready(program(model.writer.decoder, batch))
    started = time.process_time()
    for _ in range(batches):
        jax.block_until_ready(program(model.writer.decoder, batch))
    return batches * tokens.size / (time.process_time() - started)


def main() -> None:
    """Measure and print."""
    documents = pages()
    training = documents[:: max(1, len(documents) // 100)]
    encoder = Encoder(train_tokenizer(training, TokenizerSettings(vocabulary_size=VOCABULARY)))
    settings = ModelSettings()
    decoder = initialize(settings, VOCABULARY, jax.random.key(0))
    model = Counting(LanguageModel(decoder, settings, encoder, CONTEXT), "fresh")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_set(folder, documents)
        alone = [forward_rate(model, 10)]
        started = time.process_time()
        one = open_set("made", Catalogue(name), name)
        found = evaluate_tasks(model, [one], Asking(), SilentDisplay(), str(folder / "answers"))["made"]["0"]
        whole = model.read / (time.process_time() - started)
        alone.append(forward_rate(model, 10))
    assert found.figure.n == QUESTIONS
    peer = sum(alone) / len(alone)
    note = f"{whole / peer:.2f} of the forward pass; {QUESTIONS} questions, {model.read:,} tokens"
    goal = f">= {GOAL} x the pass"
    show(
        [
            Figure(NAME, "questions answered, end to end", whole / 1e3, UNIT, goal, whole >= GOAL * peer, note),
            Figure(NAME, "the forward pass alone", peer / 1e3, UNIT),
        ]
    )


if __name__ == "__main__":
    main()
