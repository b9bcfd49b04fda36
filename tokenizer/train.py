"""Train a SentencePiece model from text: texts in, the bytes of a `tokenizer.model` out.

The model is lossless (docs/formats.md, "Tokenizer"): text is taken as it is, characters outside the vocabulary become
byte tokens. A run of up to `newline_runs` newlines is one token: training works line by line, as SentencePiece wants
it, and a paragraph break costs one token in place of two bytes (1 to 2 % fewer tokens on books and plays). The same
texts, settings and library give the same bytes; the number of threads is a setting because it changes the order of the
trainer's sums and so the pieces.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any

import sentencepiece

from tokenizer.settings import DOCUMENT_START_ID, PADDING_ID, UNKNOWN_ID, TokenizerSettings

SPACE_SYMBOL = "\u2581"  # stands for a blank in pieces, so it cannot stand for itself
_NOT_TRAINED = {ord(SPACE_SYMBOL): " ", 0: None}
_EVERYTHING, _ERRORS_ONLY = 0, 2


def train_tokenizer(texts: Iterable[str], settings: TokenizerSettings, *, log: bool = False) -> bytes:
    """Train on all of `texts`, in order, and return the bytes of the model; `log` lets SentencePiece write on stderr.

    Raises:
        ValueError: when there is no text, or not the right amount for the vocabulary asked.
    """
    sample = _Sample(texts, settings.line_bytes)
    lines = iter(sample)
    first = next(lines, None)
    if first is None:
        raise ValueError("no text to train a tokenizer on; check which components give training documents")
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=itertools.chain([first], lines),
            model_writer=model,
            minloglevel=_EVERYTHING if log else _ERRORS_ONLY,
            **_options(settings),
        )
    except RuntimeError as error:
        raise ValueError(_explain(str(error), settings, sample.characters)) from error
    return model.getvalue()


class _Sample:
    """Cuts texts into training lines and counts the characters it hands out."""

    def __init__(self, texts: Iterable[str], line_bytes: int) -> None:
        self._texts = texts
        self._line_bytes = line_bytes
        self.characters = 0

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            # The trainer would take U+2581 for a blank and stop at NUL; in encoding both are byte tokens.
            for line in text.translate(_NOT_TRAINED).split("\n"):
                for part in _parts(line, self._line_bytes):
                    self.characters += len(part)
                    yield part


def _parts(line: str, limit: int) -> Iterator[str]:
    """Cut a line into parts of at most `limit` bytes, before a blank if it has one; only blank parts are left out."""
    encoded = line.encode()
    start = 0
    while start < len(encoded):
        end = min(start + limit, len(encoded))
        if end < len(encoded):
            blank = encoded.rfind(b" ", start + 1, end)
            end = blank if blank > 0 else _character_start(encoded, end)
        if encoded[start:end].strip():
            yield encoded[start:end].decode()
        start = end


def _character_start(encoded: bytes, position: int) -> int:
    """Return where the character begins that the byte at `position` belongs to."""
    while encoded[position] & 0xC0 == 0x80:
        position -= 1
    return position


def _options(settings: TokenizerSettings) -> dict[str, Any]:
    return {
        "model_type": settings.model_type,
        "vocab_size": settings.vocabulary_size,
        "character_coverage": settings.character_coverage,
        "byte_fallback": True,
        "split_digits": settings.split_digits,
        "normalization_rule_name": "identity",
        "add_dummy_prefix": False,
        "remove_extra_whitespaces": False,
        "user_defined_symbols": ["\n" * run for run in range(1, settings.newline_runs + 1)],
        "pad_id": PADDING_ID,
        "unk_id": UNKNOWN_ID,
        "eos_id": DOCUMENT_START_ID,
        "bos_id": -1,
        "num_threads": settings.threads,
        # The caller chose the sample by keyed hash; the trainer's own sampling is seeded by nothing we control.
        "input_sentence_size": 0,
        "shuffle_input_sentence": False,
        "max_sentence_length": settings.line_bytes,
    }


def _explain(message: str, settings: TokenizerSettings, characters: int) -> str:
    """Turn SentencePiece's message into one that names the setting and the remedy."""
    asked = f"vocabulary_size = {settings.vocabulary_size}"
    most = re.search(r"<= (\d+)", message)
    if "too high" in message and most:
        return (
            f"{asked} is more than {characters:,} characters of text can fill; "
            f"use {most.group(1)} or less, or train on more text"
        )
    if "required_chars" in message:
        return f"{asked} does not hold the characters of the text; raise it or lower character_coverage ({message})"
    return f"SentencePiece could not train with {asked} on {characters:,} characters of text: {message}"
