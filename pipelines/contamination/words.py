"""The words that n-grams are made of: lower-cased letters, marks and digits; everything else only separates them.

Punctuation is no part of a word and ends it: `don't` and `don’t` are the words `don` and `t`, `_emphasis_` is
`emphasis`, `guest @-@ starring` is `guest-starring`. In scripts without spaces every character
is a word. The pass over the text is that of near-duplicates. The one limit: in a text of more than 64 KiB, a single
word of that length is taken as several.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.near_duplicates.shingles import packed_texts, text_groups
from pipelines.near_duplicates.words import Offsets, WordBatch, find_words

_PUNCTUATION_TO_BLANKS = bytes(
    code if code >= 0x80 or chr(code).isalnum() else 0x20 for code in range(256)
)  # so that a long text can be cut between any two words, and an underscore is none


def batches_of_words(texts: pa.Array) -> Iterator[tuple[int, WordBatch]]:
    """Yield the words of an Arrow array of large strings without nulls, in runs of about half a megabyte.

    Yields:
        (number of the run's first text, its words); starts and ends count bytes from that text's first.
    """
    data, offsets = packed_texts(texts)
    for first, end in text_groups(offsets):
        low, high = offsets[first], offsets[end]
        plain = data[low:high].tobytes().translate(_PUNCTUATION_TO_BLANKS)
        yield first, find_words(np.frombuffer(plain, np.uint8), offsets[first : end + 1] - low)


def words_of(text: str) -> WordBatch:
    """Return the words of one text."""
    ((_, words),) = batches_of_words(pa.array([text], pa.large_string()))
    return words


def to_characters(text: str, positions: NDArray[np.int64]) -> Offsets:
    """Return positions in the UTF-8 bytes of a text as positions in its characters."""
    if text.isascii():
        return positions
    data = np.frombuffer(text.encode(), np.uint8)
    characters_before = np.concatenate(([0], np.cumsum((data & 0xC0) != 0x80)))
    return characters_before[positions]
