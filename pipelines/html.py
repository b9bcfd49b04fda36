"""HTML to text: bytes of a page in; its title and main content out, by Resiliparse.

Charset: `pipelines.charset`. Main content: `pipelines.main_content`. A page that nests too deep is refused before it is
parsed: the time of extraction grows with the square of the depth. `pipelines.page_process` guards against the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from pipelines.charset import decode_noting
from pipelines.main_content import main_content
from pipelines.text import normalize_text, normalize_title

MAX_NESTING = 2_000
"""Deepest nesting of elements that is parsed."""

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:-]*)[^<>]*?(/?)>")
# Elements that hold nothing, and elements whose end tag is usually left out: a parser closes them by itself.
_NOT_NESTING = frozenset(
    [
        "area",
        "base",
        "br",
        "col",
        "embed",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "param",
        "source",
        "track",
        "wbr",
        "p",
        "li",
        "dt",
        "dd",
        "tr",
        "td",
        "th",
        "thead",
        "tbody",
        "tfoot",
        "option",
        "optgroup",
        "colgroup",
        "rp",
        "rt",
    ]
)


class NestedTooDeep(ValueError):
    """A page nests its elements deeper than the parser can be trusted with."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a page gives.

    Attributes:
        title: normalized, or None where there is none.
        text: the main content, normalized; may be empty.
        charset_note: how its charset was found, one of the notes of `pipelines.charset`.
    """

    title: str | None
    text: str
    charset_note: str


def extract_page(payload: bytes, charset: str | None = None, max_nesting: int = MAX_NESTING) -> Page:
    """Extract title and main content of an HTML page.

    Args:
        payload: the page's bytes.
        charset: of the HTTP header, if any.
        max_nesting: see `MAX_NESTING`.

    Raises:
        NestedTooDeep: when its elements nest deeper than `max_nesting`.
    """
    from resiliparse.parse.html import HTMLTree

    html, charset_note = decode_noting(payload, charset)
    _check_nesting(html, max_nesting)
    tree = HTMLTree.parse(html)
    title = normalize_title(tree.title)
    return Page(title, normalize_text(main_content(tree, title)), charset_note)


def extract_fragment(html: str, max_nesting: int = MAX_NESTING) -> str:
    """Return all visible text of HTML that is content throughout (a post, a mail), normalized.

    Lists, line breaks and pre-formatted text keep their form.

    Raises:
        NestedTooDeep: when its elements nest deeper than `max_nesting`.
    """
    from resiliparse.extract.html2text import extract_plain_text

    _check_nesting(html, max_nesting)
    return normalize_text(
        extract_plain_text(html, main_content=False, alt_texts=False, links=False, form_fields=False, list_bullets=True)
    )


def _check_nesting(html: str, limit: int) -> None:
    # Few elements cannot nest deep, most of the others are cleared by a glance.
    if html.count("<") > limit and _nesting_at_a_glance(html) > limit and _nesting(html) > limit:
        raise NestedTooDeep(f"elements nest deeper than {limit}")


def _nesting_at_a_glance(html: str) -> int:
    """Return how deep elements would nest if every start tag had to be closed."""
    data = np.frombuffer(html.encode("utf-8", "replace") + b" ", np.uint8)
    following = data[np.flatnonzero(data[:-1] == ord("<")) + 1]
    letters = ((following | 0x20) >= ord("a")) & ((following | 0x20) <= ord("z"))
    depth = np.cumsum(letters.astype(np.int32) - (following == ord("/")))
    # An end tag that closes nothing must not make room for later elements.
    floor = np.minimum(np.minimum.accumulate(depth), 0) if depth.size else depth
    return int((depth - floor).max(initial=0))


def _nesting(html: str) -> int:
    """Return how deep elements nest if those whose end tags are usually left out hold nothing."""
    depth = deepest = 0
    for end, name, empty in _TAG.findall(html):
        if empty or name.lower() in _NOT_NESTING:
            continue
        depth = max(0, depth - 1) if end else depth + 1
        deepest = max(deepest, depth)
    return deepest
