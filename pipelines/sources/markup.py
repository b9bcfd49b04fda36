"""Plain prose from the markup of text files: Project Gutenberg's frame, hard-wrapped lines, light Markdown."""

from __future__ import annotations

import re

_GUTENBERG_START = re.compile(
    r"^[ \t]*\*{3}[ \t]*START OF (?:THE|THIS) PROJECT GUTENBERG E-?(?:BOOK|TEXT).*(?:\n.*)??\*{3}[ \t]*$|"
    r"^.*END[* ]*THE SMALL PRINT!.*$",
    re.IGNORECASE | re.MULTILINE,
)
_GUTENBERG_END = re.compile(
    r"^[ \t]*(?:\*{3}[ \t]*)?END OF (?:THE |THIS )?PROJECT GUTENBERG(?:['’]S)? .*$", re.IGNORECASE | re.MULTILINE
)
# Credits that precede the book's first line.
_CREDITS = re.compile(
    r"\s*(?:[^\n]*\b(?:produced by|transcribed (?:from|by)|prepared by|e-?text prepared|html version by)\b"
    r"[^\n]*(?:\n[^\n]+)*\n\s*\n)+",
    re.IGNORECASE,
)
_CREDITS_WITHIN = 2_000
_PARAGRAPHS = re.compile(r"\n[ \t]*\n")
_WRAPPED_WIDTH = 50
"""Lines that were broken at a margin are, but for the last, at least this long; verse, lists and titles are shorter."""

_HEADING = re.compile(r"^#{1,6}[ \t]+", re.MULTILINE)
_STRONG = re.compile(r"(\*{1,3})(?=\S)([^*\n]*[^*\s])\1")
_EMPHASIS = re.compile(r"(?<!\w)_(?=\S)([^_\n]*[^_\s])_(?!\w)")
_EMPHASIS_OVER_LINES = re.compile(r"(?<!\w)_(?=\S)([^_]{1,2000}?\S)_(?!\w)")


def cut_gutenberg_frame(text: str) -> str:
    """Return a Project Gutenberg text without header, credits and licence; any other text as it is."""
    if start := _GUTENBERG_START.search(text):
        text = text[start.end() :]
        if credits := _CREDITS.match(text[:_CREDITS_WITHIN]):
            text = text[credits.end() :]
    if end := _GUTENBERG_END.search(text):
        text = text[: end.start()]
    return text


def join_wrapped_lines(text: str) -> str:
    """Join the lines of paragraphs that were wrapped at a margin; leave short-lined ones (verse, lists) as they are."""
    return "\n\n".join(_join_paragraph(paragraph) for paragraph in _PARAGRAPHS.split(text))


def _join_paragraph(paragraph: str) -> str:
    lines = [line for line in paragraph.split("\n") if line.strip()]
    full = sum(len(line) >= _WRAPPED_WIDTH for line in lines[:-1])
    # A dialogue of short speeches may have some full lines, a wrapped paragraph some short ones before a long word.
    if full * 4 < (len(lines) - 1) * 3:
        return paragraph.strip("\n")
    return " ".join(line.strip() for line in lines)


def strip_markdown(text: str) -> str:
    """Remove the signs of headings, strong and emphasized text, and line breaks by trailing blanks."""
    text = _HEADING.sub("", text)
    text = _STRONG.sub(r"\2", text)
    text = _EMPHASIS.sub(r"\1", text)
    return _EMPHASIS_OVER_LINES.sub(r"\1", text)
