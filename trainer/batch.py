"""What a step reads: B sequences of S tokens. B batch, S sequence. Numpy or JAX arrays; importing it imports
neither."""

from __future__ import annotations

from typing import Any, NamedTuple


class Batch(NamedTuple):
    """A batch of packed sequences.

    Attributes:
        inputs: (B, S) int32 token ids.
        targets: (B, S) int32, the next tokens.
        segments: (B, S) int32, 0 for padding, 1, 2, … for the documents packed in a row.
        counted: (B, S) bool, whether the target counts.
    """

    inputs: Any
    targets: Any
    segments: Any
    counted: Any
