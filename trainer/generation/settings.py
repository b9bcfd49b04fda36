"""How text is generated. Importing this module does not import JAX."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from pipelines.store.configuration import Settings


class GenerationSettings(Settings):
    """How a prompt is gone on with.

    Attributes:
        max_tokens: most tokens of a continuation, the one that stops it included.
        method: `greedy`: the likeliest token each time; `sample`: a token by its probability; `beam`: the likeliest
            continuation that a search of `beam_width` finds.
        top_k: `sample` draws from so many likeliest tokens; 0 from all.
        temperature: `sample` divides the logits by it.
        beam_width: continuations that `beam` follows at a time.
        length_exponent: of `beam`: a continuation of n tokens is worth its log-probability over ((5 + n) / 6)^exponent
            (Wu et al. 2016, equation 14); 0 compares log-probabilities, and so prefers short ones.
        seed: of `sample`.
        stop: texts that end a continuation, which is cut before them. The end of the document ends it too.
    """

    max_tokens: int = Field(default=64, ge=1)
    method: Literal["greedy", "sample", "beam"] = "greedy"
    top_k: int = Field(default=0, ge=0)
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    beam_width: int = Field(default=4, ge=1)
    length_exponent: float = Field(default=0.6, ge=0, allow_inf_nan=False)
    seed: int = Field(default=0, ge=0, lt=2**31)
    stop: tuple[str, ...] = ()

    @field_validator("stop")
    @classmethod
    def _check_stop(cls, stop: tuple[str, ...]) -> tuple[str, ...]:
        if "" in stop:
            raise ValueError("an empty text stands everywhere, so nothing would be generated; leave it out")
        return stop
