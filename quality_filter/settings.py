"""Settings of the quality classifier and of the sampling rule; nothing heavy is imported here.

The defaults are those found for a corpus of a few thousand documents (word bigrams, 2^18 buckets); at a million
examples and more, 5 epochs at a rate of 0.1 and 2^21 buckets are fastText's usual choice.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from pydantic import BaseModel, ConfigDict, Field, field_validator


class QualitySettings(BaseModel):
    """How training examples are cut and chosen, and how fastText is trained on them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dimension: int = Field(32, ge=1, le=1024, description="width of fastText's embeddings; gone after the collapse")
    word_ngrams: int = Field(2, ge=1, le=2, description="1: words; 2: words and hashed pairs of neighbors")
    buckets: int = Field(2**18, ge=1, le=2**24, description="hash buckets for word pairs, a power of two")
    min_count: int = Field(2, ge=1, description="a word seen less often in training has no weight of its own")
    epochs: int = Field(10, ge=1, le=1000, description="passes over the training examples")
    learning_rate: float = Field(0.3, gt=0, le=10, description="initial rate, decays linearly to 0")
    seed: int = Field(0, ge=0, lt=2**31, description="seed of fastText")
    folds: int = Field(
        5, ge=2, le=100, description="models for cross-fitting: none scores a document it was trained on"
    )
    piece_characters: int = Field(2500, ge=100, description="texts are cut into pieces of about this length")
    pieces_per_document: int = Field(8, ge=1, description="pieces of one document that may become examples")
    match_lengths: bool = Field(
        True, description="draw negatives so that their lengths are distributed as those of positives"
    )
    positives_per_source: int = Field(1500, ge=1, description="cap on positive examples of one source")
    negatives_per_source: int = Field(50_000, ge=1, description="cap on negative examples of one source")

    @field_validator("buckets")
    @classmethod
    def _power_of_two(cls, buckets: int) -> int:
        if buckets & (buckets - 1):
            raise ValueError(f"buckets = {buckets} is not a power of two; use {1 << (buckets.bit_length() - 1)}")
        return buckets


class SamplingSettings(BaseModel):
    """The Pareto rule: a document stays when its draw is below T[s] (quality_filter.sampling)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: str = Field("3", description="shape of the Pareto distribution, a decimal number; GPT-3 used 9")
    on: str = Field("rank", pattern="^(rank|score)$", description="s is the rank quantile of the score, or the score")

    @field_validator("alpha", mode="before")
    @classmethod
    def _decimal_text(cls, alpha: object) -> str:
        text = str(alpha)
        try:
            value = Decimal(text)
        except InvalidOperation:
            raise ValueError(f"alpha = {text!r} is not a decimal number; use one such as 3 or 2.5") from None
        if not (value.is_finite() and 0 < value <= 64):
            raise ValueError(f"alpha = {text} is outside (0, 64]; GPT-3 used 9, the demo uses 3")
        return f"{value.normalize():f}"
