"""HTML to text: bytes of a page in; its title and main content out, by Resiliparse.

Charset as the HTML standard orders it: byte order mark, HTTP header, `<meta>`, then detection from the bytes. A page
that is not valid in the charset it declares is decoded by detection, or with replacement characters where nothing
fits.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from pipelines.text import normalize_text, normalize_title

MAX_NESTING = 2_000
"""Deepest nesting of elements that is parsed: extraction recurses and takes the whole process down at some tens of
thousands.
"""

_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_META_BYTES = 4096
_META_CHARSET = re.compile(rb"<meta[^>]{0,512}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{2,40})", re.IGNORECASE)
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
_REPLACEMENT = "\ufffd"


class NestedTooDeep(ValueError):
    """A page nests its elements deeper than the parser can be trusted with."""


@dataclass(frozen=True, slots=True)
class Page:
    """Title (None where there is none) and main text (may be empty) of a page, both normalized."""

    title: str | None
    text: str


def extract_page(payload: bytes, charset: str | None = None, max_nesting: int = MAX_NESTING) -> Page:
    """Extract title and main content of an HTML page.

    Args:
        payload: the page's bytes.
        charset: of the HTTP header, if any.
        max_nesting: see `MAX_NESTING`.

    Raises:
        NestedTooDeep: when its elements nest deeper than `max_nesting`.
    """
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    html = decode_html(payload, charset)
    _check_nesting(html, max_nesting)
    tree = HTMLTree.parse(html)
    text = extract_plain_text(
        tree, main_content=True, alt_texts=False, links=False, form_fields=False, noscript=False, list_bullets=True
    )
    return Page(normalize_title(tree.title), normalize_text(text))


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


def _check_nesting(html: str, max_nesting: int) -> None:
    if html.count("<") > max_nesting and _nesting(html) > max_nesting:
        raise NestedTooDeep(f"elements nest deeper than {max_nesting}")


def _nesting(html: str) -> int:
    """Return an upper estimate of how deep elements nest."""
    depth = deepest = 0
    for end, name, empty in _TAG.findall(html):
        if empty or name.lower() in _NOT_NESTING:
            continue
        depth = max(0, depth - 1) if end else depth + 1
        deepest = max(deepest, depth)
    return deepest


def decode_html(payload: bytes, charset: str | None = None) -> str:
    """Decode a page; `charset` is that of the HTTP header."""
    for mark, name in _BYTE_ORDER_MARKS:
        if payload.startswith(mark):
            return payload[len(mark) :].decode(name, errors="replace")
    meta = _META_CHARSET.search(payload[:_META_BYTES])
    declared = [_codec(charset), _codec(meta[1].decode("ascii")) if meta else None]
    for label in declared:
        if label and (text := _decode_strictly(payload, label)) is not None:
            return text
    return _decode_by_detection(payload, [name for name in declared if name])


def _codec(label: str | None) -> str | None:
    """Return Python's name of the encoding that browsers take a label for, or None for an unknown label."""
    from resiliparse.parse.encoding import map_encoding_to_html5

    if not label:
        return None
    name = map_encoding_to_html5(label.strip(" \"'").lower(), fallback_utf8=False)
    # A page whose `<meta>` could be read as ASCII is not in UTF-16, whatever it says.
    if not name or name.startswith("utf-16"):
        return None
    try:
        return codecs.lookup(name).name
    except LookupError:
        return None


def _decode_strictly(payload: bytes, name: str) -> str | None:
    try:
        return payload.decode(name)
    except UnicodeDecodeError:
        return None


def _decode_by_detection(payload: bytes, declared: list[str]) -> str:
    from resiliparse.parse.encoding import detect_encoding

    text = _decode_strictly(payload, "utf-8")
    if text is not None:
        return text
    detected = detect_encoding(payload) or "utf-8"
    candidates = [payload.decode(name, errors="replace") for name in [*declared, "utf-8", _known(detected)]]
    # A few broken bytes must not turn a whole page into mojibake: the first candidate that fits most of it wins.
    best = candidates[0]
    for other in candidates[1:]:
        broken = best.count(_REPLACEMENT)
        if broken > max(8, len(best) // 1000) and other.count(_REPLACEMENT) < broken:
            best = other
    return best


def _known(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError:
        return "cp1252"
