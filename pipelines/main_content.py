"""The main content of a parsed HTML page as plain text, by four rules on top of Resiliparse's.

Resiliparse takes the elements of a page for main content or not by name, class and id, as light HTML. Here its lines
are weighed. A line is *prose* if outside of links it has `PROSE_BYTES` bytes, or a sentence's end and
`SENTENCE_BYTES`; lines of preformatted text, and table rows and list items of `SENTENCE_BYTES`, count as prose.
Bytes, so that a sentence in a script without spaces weighs as much as its translation.

1. Comment sections and post metadata are left out.
2. What stands before the first and after the last line of prose is left out, but for the headings before: captions,
   by-lines, share buttons, links to other pages.
3. A heading before the prose that only repeats the page's title is left out: the title has a field of its own.
4. A page without `PAGE_BYTES` bytes of prose under rule 1 (a forum, a listing, a form) keeps comments and metadata, and
   where that is no prose either, all that Resiliparse found: rules 2 and 3 need an article to go by.

What each rule adds: docs/extraction.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from resiliparse.parse.html import HTMLTree

PROSE_BYTES = 120
SENTENCE_BYTES = 20
PAGE_BYTES = 250

_LINK_START = re.compile(r"<a [^>]*>")
_LINK = re.compile(r"<a>(.*?)(?:</a>|$)")
_TAG = re.compile(r"</?[a-z0-9]+>")
_SENTENCE_END = re.compile(r"[.!?…。！？।։؟]['\"”’»)\]]*(?:\s|$)|[。！？]")
_WORDS = re.compile(r"[^\W_]+")
BULLET = "• "


@dataclass(frozen=True, slots=True)
class Rules:
    """Which of the rules hold; all do but in the benchmark that shows what each adds."""

    no_comments: bool = True
    prose_span: bool = True
    no_title: bool = True
    fall_back: bool = True


class Line(NamedTuple):
    """One line of the extracted page.

    Attributes:
        text: as it is written out, with its bullet; empty between paragraphs.
        heading: is it one.
        prose_bytes: bytes outside of links if the line is prose, else 0.
    """

    text: str
    heading: bool = False
    prose_bytes: int = 0


_EMPTY = Line("")


def main_content(tree: HTMLTree, title: str | None, rules: Rules = Rules()) -> str:
    """Return the main content of a page, not normalized; `title` is the page's."""
    lines = _lines(tree, comments=not rules.no_comments)
    if rules.no_comments and rules.fall_back and _prose_bytes(lines) < PAGE_BYTES:
        lines = _lines(tree, comments=True)
    if not rules.fall_back or _prose_bytes(lines) >= PAGE_BYTES:
        lines = list(_article(lines, title, rules))
    return "\n".join([line.text for line in lines])


def _lines(tree: HTMLTree, comments: bool) -> list[Line]:
    from resiliparse.extract.html2text import extract_plain_text

    markup = extract_plain_text(
        tree,
        preserve_formatting="minimal_html",
        main_content=True,
        alt_texts=False,
        links=True,
        comments=comments,
        post_meta=comments,
    )
    return list(read_lines(markup))


def _prose_bytes(lines: list[Line]) -> int:
    return sum(line.prose_bytes for line in lines)


def _article(lines: list[Line], title: str | None, rules: Rules) -> Iterator[Line]:
    """Apply rules 2 and 3."""
    prose = [number for number, line in enumerate(lines) if line.prose_bytes]
    first, last = (prose[0], prose[-1]) if prose and rules.prose_span else (0, len(lines) - 1)
    start = prose[0] if prose else 0
    title_words = _spaced_words(title or "")
    for number, line in enumerate(lines[: last + 1]):
        if number < first and not line.heading:
            continue
        if rules.no_title and line.heading and number < start and _spaced_words(line.text) in title_words:
            continue
        yield line
        if number < first:
            yield _EMPTY


def _spaced_words(text: str) -> str:
    return " ".join(_WORDS.findall(text.lower()))


def read_lines(markup: str) -> Iterator[Line]:
    """Yield the lines of Resiliparse's light HTML as plain text.

    Args:
        markup: elements h1 to h6, p, br, pre, ul, ol, li and a, blocks at the starts of lines; all else escaped.
    """
    markup = _LINK_START.sub("<a>", markup)  # targets may hold line ends
    preformatted = False
    for line, plain in zip(markup.split("\n"), _TAG.sub("", markup).split("\n"), strict=True):
        start = line.lstrip()
        text = unescape(plain) if "&" in plain else plain
        if preformatted or start.startswith("<pre>"):
            preformatted = "</pre>" not in line
            yield Line(text, False, _size(text))
        elif not (text := text.strip()):
            if not start:
                yield _EMPTY
        elif start.startswith("<h"):
            yield Line(text, True)
        else:
            item = start.startswith("<li>")
            size = _size(text) - (_linked_size(start) if "<a>" in start else 0)
            bullet = line[: -len(start)] + BULLET if item else ""
            yield Line(bullet + text, False, _prose_size(text, size, item or "\t" in text))


def _linked_size(line: str) -> int:
    return _size(unescape(_TAG.sub("", "".join(_LINK.findall(line)))).strip())


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _prose_size(text: str, size: int, listed: bool) -> int:
    """Return `size`, the bytes outside of links, if the line is prose by the module's definition, else 0."""
    if size >= PROSE_BYTES or (size >= SENTENCE_BYTES and (listed or _SENTENCE_END.search(text))):
        return size
    return 0
