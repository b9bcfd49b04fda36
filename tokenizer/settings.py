"""Settings of the tokenizer; nothing heavy is imported here."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

PADDING_ID = 0
UNKNOWN_ID = 1
DOCUMENT_START_ID = 2


class TokenizerSettings(BaseModel):
    """How the SentencePiece model is trained, or which existing one is used (`model`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = Field(None, description="path or URL of an existing model; nothing is trained then")
    model_type: Literal["unigram", "bpe"] = "unigram"
    vocabulary_size: int = Field(
        4096, ge=300, le=2**18, description="pieces in all: 256 bytes, 3 special, the rest learned"
    )
    character_coverage: float = Field(0.9995, gt=0, le=1, description="share of characters with a piece of their own")
    split_digits: bool = Field(True, description="every digit is a token")
    newline_runs: int = Field(2, ge=1, le=8, description="one token for runs of up to so many newlines")
    threads: int = Field(
        2, ge=1, le=64, description="training threads: they change the pieces, so they are part of the recipe"
    )
    sample_bytes: int = Field(32 * 2**20, ge=1, description="text that the training sample is chosen to have")
    line_bytes: int = Field(4096, ge=16, le=2**16, description="longer lines are trained on in parts of this size")
