"""Long texts as windows of a model's context: every token is a target once, with as much before it as fits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def text_windows(tokens: np.ndarray, context: int, stride: int | None = None) -> Iterator[tuple[np.ndarray, int]]:
    """Yield (tokens of a window, number of the first that is a target).

    Args:
        tokens: int32, the document start first.
        context: tokens that the model reads at most.
        stride: targets of every window but the first; None: as many as the context, so that windows share nothing. A
            smaller stride gives each target at least `context - stride` tokens before it.
    """
    step = stride or context
    done = 1
    while done < len(tokens):
        end = min(len(tokens), done + (context if done == 1 else step))
        begin = max(0, end - context - 1)
        yield tokens[begin:end], done - begin
        done = end
