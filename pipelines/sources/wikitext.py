"""Wikitext to plain text with mwparserfromhell: what a reader of the article reads, without its apparatus.

Removed: templates (but for a few that stand for words), tables, references, galleries, formulas, files, categories,
links to other languages, magic words, comments, and headings with nothing beneath them. Kept: prose, the words of
links, list items, headings.
"""

from __future__ import annotations

import re
from typing import Any

NAMESPACE_FILE, NAMESPACE_CATEGORY = "6", "14"

_REMOVED_TAGS = {"table", "ref", "references", "gallery", "math", "chem", "timeline", "score", "imagemap", "graph"} | {
    *("mapframe", "templatestyles", "source", "syntaxhighlight", "hiero", "indicator", "section")
}
# Interlanguage and sister-project links stand without a label: [[de:Wort]], [[simple:Word]], [[zh-min-nan:…]].
_INTERWIKI = re.compile(r"[a-z]{2,3}(?:-[a-z-]{2,12})?|simple|roa-rup|be-x-old|cbk-zam|wikt|commons|species")
# A file by its ending, whatever the wiki calls the namespace (and its aliases, which a dump doesn't tell).
_FILE_NAME = re.compile(
    r".+:.+\.(?:jpe?g|png|gif|svg|tiff?|webp|xcf|og[agv]|webm|mp3|flac|wav|midi?|pdf|djvu)\s*", re.IGNORECASE
)
# Templates that stand for words of the sentence: which of their arguments (without names) is shown.
_SHOWN_ARGUMENT = {"lang": 1, "transl": 1, "transliteration": 1} | dict.fromkeys(
    ("nowrap", "nobr", "abbr", "em", "strong", "small"), 0
)
_MAGIC_WORD = re.compile(r"__[A-Z]{3,}__")
_HEADING_MARK = "\ue000"  # private use: no article has it
_EMPTY_BRACKETS = re.compile(r"[ \t]*[(\[（][\s,;:/–—-]*[)\]）]")
# What templates leave inside brackets: "(, ; born 1879)".
_BRACKET_START = re.compile(r"([(（])[\s,;]+")
_BLANKS = re.compile(r"[ \t\u00a0]{2,}")
_LIST_MARKS = re.compile(r"^(?:[*#:;]+[ \t]*| (?=\S))", re.MULTILINE)
_REMAINS = re.compile(r"^[ \t]*(?:\|.*|\{\||\|\}|!.*\|\|.*)$", re.MULTILINE)


# The parser reads to the end of the page for every table, tag, link or template that is never closed: quadratic time.
_MAX_UNCLOSED = 100
_PAIRS = (
    re.compile(r"(?P<open><[a-zA-Z][a-zA-Z0-9]*(?=[\s>/])(?<!<br)(?<!<hr)(?<!<li))|</[a-zA-Z]|/>"),
    re.compile(r"(?P<open><[bhl][ri][\s/])|>"),
    re.compile(r"(?P<open>\{\|)|\|\}"),
    re.compile(r"(?P<open>\{\{)|\}\}"),
    re.compile(r"(?P<open>\[\[)|\]\]"),
    re.compile(r"(?P<open>\[(?:[a-z]{2,10}:)?//|\[mailto:)|\]"),
    re.compile(r"(?P<open><!--)|-->"),
)
"""What opens, as `open`, and what closes it."""


class WikitextError(Exception):
    """A page's wikitext cannot be parsed."""


def plain_text(wikitext: str, removed_namespaces: frozenset[str]) -> str:
    """Return the plain text of an article.

    Args:
        wikitext: its source.
        removed_namespaces: lower-case names of the namespaces whose links show no words (files, categories), in the
            wiki's language.

    Raises:
        WikitextError: when the parser fails, or would take forever.
    """
    import mwparserfromhell
    from mwparserfromhell.parser import ParserError

    if _unclosed(wikitext) > _MAX_UNCLOSED:
        raise WikitextError(f"more than {_MAX_UNCLOSED} tables, tags, links or templates are opened and not closed")
    try:
        code = mwparserfromhell.parse(wikitext.replace(_HEADING_MARK, ""), skip_style_tags=True)
        _remove_apparatus(code, removed_namespaces)
        text = code.strip_code(normalize=True, collapse=False, keep_template_params=False)
    except (ParserError, ValueError, RecursionError) as error:
        raise WikitextError(f"{type(error).__name__}: {error}") from error
    return _drop_empty_sections(_clean(text))


def _unclosed(wikitext: str) -> int:
    """Return the greatest number, over the kinds of markup, of openings that nothing behind them closes."""
    most = 0
    for pair in _PAIRS:
        depth = 0
        for match in pair.finditer(wikitext):
            depth = depth + 1 if match["open"] else max(0, depth - 1)
        most = max(most, depth)
    return most


def _remove_apparatus(code: Any, removed_namespaces: frozenset[str]) -> None:
    from mwparserfromhell.nodes import Heading, Tag, Template, Text, Wikilink

    kept = []
    for node in code.nodes:
        if isinstance(node, Template):
            kept.append(Text(_words_of(node)))
            continue
        if isinstance(node, Tag) and str(node.tag).strip().lower() in _REMOVED_TAGS:
            continue
        if isinstance(node, Wikilink) and _is_removed_link(node, removed_namespaces):
            continue
        if isinstance(node, Heading):
            _remove_apparatus(node.title, removed_namespaces)
            title = node.title.strip_code().strip()
            kept.append(Text(f"\n{_HEADING_MARK * node.level}{title}\n"))
            continue
        if isinstance(node, Tag) and node.contents is not None:
            _remove_apparatus(node.contents, removed_namespaces)
        elif isinstance(node, Wikilink) and node.text is not None:
            _remove_apparatus(node.text, removed_namespaces)
        kept.append(node)
    code.nodes = kept


def _words_of(template: Any) -> str:
    """Return the words that a template puts into the sentence, as far as its name tells."""
    name = str(template.name).strip().lower()
    arguments = [parameter.value for parameter in template.params if not parameter.showkey]
    if name in ("convert", "cvt") and len(arguments) > 1:
        return f"{arguments[0]} {arguments[1]}"
    position = 0 if name.startswith("lang-") else _SHOWN_ARGUMENT.get(name)
    if position is None or len(arguments) <= position:
        return ""
    return str(arguments[position].strip_code(normalize=True, collapse=True))


def _is_removed_link(link: Any, removed_namespaces: frozenset[str]) -> bool:
    if _FILE_NAME.fullmatch(str(link.title)):
        return True
    prefix, colon, _ = str(link.title).strip().partition(":")
    if not colon or not prefix:
        return False
    name = prefix.strip().replace("_", " ").lower()
    return name in removed_namespaces or (link.text is None and bool(_INTERWIKI.fullmatch(name)))


def _clean(text: str) -> str:
    """Mend what the removed parts leave behind."""
    # Blanks first: the patterns after it would try every one of a long run.
    text = _BLANKS.sub(" ", text)
    text = text.replace("'''''", "").replace("'''", "").replace("''", "")
    text = _MAGIC_WORD.sub("", text)
    text = _REMAINS.sub("", text)
    text = _EMPTY_BRACKETS.sub("", text)
    text = _BRACKET_START.sub(r"\1", text)
    text = _LIST_MARKS.sub("", text)
    return _BLANKS.sub(" ", text)


def _drop_empty_sections(text: str) -> str:
    """Remove the headings beneath which no text is left, and the marks of the others."""
    kept: list[str] = []
    waiting: list[tuple[int, str]] = []
    for line in text.split("\n"):
        stripped = line.strip()
        level = len(stripped) - len(stripped.lstrip(_HEADING_MARK))
        if level:
            # A heading ends the sections of its own level and below, which had no text.
            waiting = [(above, title) for above, title in waiting if above < level]
            waiting.append((level, stripped[level:].strip()))
        elif stripped:
            for _, title in waiting:
                kept += ["", title, ""]
            waiting = []
            kept.append(line)
        elif not waiting:
            kept.append("")
    return "\n".join(kept)
