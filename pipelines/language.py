"""The language of a text: ISO 639-1 code or `unknown`, by Resiliparse's detector, which needs no model file.

The detector compares the text's character n-grams with fixed profiles and says how far off the nearest is; a far one
is no verdict.
"""

from __future__ import annotations

UNKNOWN = "unknown"
MIN_LETTERS = 20
"""Below so many letters there is no verdict (docs/formats.md, "Documents")."""
MAX_DISTANCE = 1_200
"""The detector's own cutoff: what lies farther from every profile has no verdict."""
_EXAMINED_CHARACTERS = 20_000


def detect(text: str) -> str:
    """Return the ISO 639-1 code of a text's language, or `unknown`."""
    from resiliparse.parse.lang import detect_fast

    text = text[:_EXAMINED_CHARACTERS]
    if sum(map(str.isalpha, text[:1000])) < MIN_LETTERS and sum(map(str.isalpha, text)) < MIN_LETTERS:
        return UNKNOWN
    language, _ = detect_fast(text, cutoff=MAX_DISTANCE)
    return language
