"""Normalization of text, the same for every reader: docs/formats.md, "Documents", column `text`.

In: any string. Out: NFC; `\\n` line ends; no control characters but `\\n` and `\\t`; no lone surrogates; no trailing
blanks on a line; at most one empty line in a row; no blank at either end. A blank is any Unicode white space.
Applying it twice changes nothing more.
"""

from __future__ import annotations

import re
import unicodedata

# These end a line as much as a line feed does: beyond ASCII next line, line separator and paragraph separator.
_LINE_ENDS = ("\r\n", "\r", "\v", "\f")
_LINE_ENDS_BEYOND_ASCII = ("\x85", "\u2028", "\u2029")
# What remains of the categories Cc (control) and Cs (surrogate).
_REMOVED = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
_EMPTY_LINES = re.compile("\n{3,}")


def normalize_text(text: str) -> str:
    """Return `text` normalized; empty where nothing but blanks and control characters was there."""
    for end in _LINE_ENDS if text.isascii() else _LINE_ENDS + _LINE_ENDS_BEYOND_ASCII:
        text = text.replace(end, "\n")
    # Before NFC: a removed character may have kept a letter from its accent.
    text = _REMOVED.sub("", text)
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    text = "\n".join([line.rstrip() for line in text.split("\n")])
    return _EMPTY_LINES.sub("\n\n", text).strip()


def normalize_title(title: str | None) -> str | None:
    """Return a title normalized and on one line, or None where nothing is left."""
    return " ".join(normalize_text(title).split()) or None if title else None
