"""Cutting a long text into parts: at heading lines, or at paragraph and line ends where there are none."""

from __future__ import annotations

import re
from collections.abc import Iterator

_PARAGRAPH_END = re.compile(r"\n[ \t]*\n")
_LINE_END = re.compile(r"\n")


def cut_at_headings(text: str, heading: re.Pattern[str], part_characters: int) -> list[str]:
    """Cut a text before every line that `heading` matches.

    Headings with nothing but blanks between them (an act and its first scene, the entries of a table of contents)
    stay together. What stands before the first heading is a part of its own. With fewer than two headings, the text
    is cut by `cut_by_size`.

    Args:
        text: with `\\n` line ends.
        heading: searched with `^` and `$` at line ends; a match belongs to the line in which it begins.
        part_characters: about how long the parts are where there are no headings.
    """
    lines = sorted({_line_around(text, match.start()) for match in heading.finditer(text)})
    if len(lines) < 2:
        return cut_by_size(text, part_characters)
    cuts = [0]
    heading_end = 0
    for start, end in lines:
        if text[heading_end:start].strip():
            cuts.append(start)
        heading_end = end
    return [text[start:end] for start, end in zip(cuts, [*cuts[1:], len(text)], strict=True)]


def _line_around(text: str, position: int) -> tuple[int, int]:
    end = text.find("\n", position)
    return text.rfind("\n", 0, position) + 1, end if end >= 0 else len(text)


def cut_by_size(text: str, part_characters: int) -> list[str]:
    """Cut a text into parts of equal size as near as can be, about `part_characters` each.

    Parts end where paragraphs do; a paragraph of twice that size or more is cut at line ends.
    """
    parts = []
    for part in _equal_parts(text, part_characters, _PARAGRAPH_END):
        parts += _equal_parts(part, part_characters, _LINE_END) if len(part) >= 2 * part_characters else [part]
    return parts


def _equal_parts(text: str, part_characters: int, end: re.Pattern[str]) -> list[str]:
    parts = max(1, round(len(text) / part_characters))
    return [part for part in _cuts(text, len(text) / parts, end) if part.strip()]


def _cuts(text: str, size: float, end: re.Pattern[str]) -> Iterator[str]:
    start, wanted = 0, size
    for match in end.finditer(text):
        if match.end() >= wanted and match.end() < len(text):
            yield text[start : match.end()]
            start = match.end()
            wanted = max(wanted + size, start + size / 2)
    yield text[start:]
