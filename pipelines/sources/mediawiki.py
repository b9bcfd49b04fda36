"""MediaWiki XML dumps: one record a `<page>`, its last revision's wikitext as plain text.

In: .xml, plain or compressed, UTF-8 or UTF-16 (offsets then count UTF-8 bytes). Pages are found by their tags and
parsed one by one, so that a broken page costs no other. Native key: site (`dbname`, else the host of `base`), page
id, revision id (docs/formats.md, "Ids").
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO
from urllib.parse import quote, urlsplit

from pydantic import Field

from pipelines.sources.dates import BAD_DATE, iso_date
from pipelines.sources.decompression import as_utf8, decompressed
from pipelines.sources.reader import TOO_LARGE, Reader, ReaderOptions, damaged
from pipelines.sources.record import Quarantined, Record, Skipped, Text
from pipelines.sources.scanner import Scanner, skip_blanks
from pipelines.sources.wikitext import NAMESPACE_CATEGORY, NAMESPACE_FILE, WikitextError, plain_text

_PAGE, _PAGE_END = b"<page>", b"</page>"
_HEAD = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:\?xml|!DOCTYPE|mediawiki|siteinfo)\b")
_DUMP_END = b"</mediawiki>"
_NEXT = re.compile(b"<page>|</mediawiki>")
_HEAD_BYTES = 1 << 8
_MAX_SITEINFO_BYTES = 1 << 20
_PAGE_ID, _NAMESPACE = re.compile("[0-9]{1,18}"), re.compile("-?[0-9]{1,9}")


class MediaWikiOptions(ReaderOptions):
    """Options of MediaWiki dumps.

    Attributes:
        namespaces: numbers of the namespaces that are read; pages of others are skipped as `namespace`.
        max_wikitext_characters: a longer page is skipped as `too_large`: parsing takes time and memory out of
            proportion.
    """

    namespaces: tuple[int, ...] = (0,)
    max_wikitext_characters: int = Field(1_000_000, ge=1)


@dataclass(frozen=True)
class _Site:
    """What the head of a dump says of its wiki."""

    name: str = ""
    base: str = ""
    removed_namespaces: frozenset[str] = frozenset({"file", "image", "category", "media"})


class MediaWikiReader(Reader):
    """Reads the articles of a dump; redirects and pages outside the wanted namespaces are skipped.

    Between pages nothing but the head and the end of a dump is expected; any other bytes are one quarantined record.
    """

    Options = MediaWikiOptions

    def _records(self, file: IO[bytes], _url: str) -> Iterator[Record]:
        scanner = Scanner(as_utf8(decompressed(file)))
        site = _Site()
        while not scanner.at_end():
            skip_blanks(scanner)
            offset, following = scanner.offset, scanner.peek(_HEAD_BYTES)
            if following.startswith(_PAGE):
                yield from self._next(scanner, site)
            elif following.startswith(_DUMP_END):
                scanner.skip(len(_DUMP_END))
            elif _HEAD.match(following):
                site = _read_site(scanner)
                scanner.skip_to(_NEXT, len(_DUMP_END))
            elif damage := scanner.take_damage():
                yield damaged(offset, 0, damage)
            elif following:
                passed = scanner.skip(1) + scanner.skip_to(_NEXT, len(_DUMP_END))
                yield Record(offset, passed, Quarantined("not_a_page", f"{passed} bytes that belong to no page"))

    def _next(self, scanner: Scanner, site: _Site) -> Iterator[Record]:
        """Read the page that begins at the cursor."""
        offset, limit = scanner.offset, self.options.max_record_bytes
        page = scanner.read_until(_PAGE_END, limit + 1)
        following = page.find(_PAGE, len(_PAGE))
        if following > 0:
            scanner.push_back(page[following:])
            yield Record(
                offset, following, Quarantined("truncated_page", "the page does not end before the next begins")
            )
        elif page.endswith(_PAGE_END):
            yield self._page(offset, page, site)
        elif len(page) > limit:
            passed = scanner.skip_to(re.compile(b"</?page>"), len(_PAGE_END))
            if scanner.peek(len(_PAGE_END)) == _PAGE_END:
                passed += scanner.skip(len(_PAGE_END))
            yield Record(offset, len(page) + passed, Skipped(TOO_LARGE))
        elif damage := scanner.take_damage():
            yield damaged(offset, len(page), damage)
        else:
            yield Record(
                offset, len(page), Quarantined("truncated_page", "the file ends inside the page", rest_is_lost=True)
            )

    def _page(self, offset: int, page: bytes, site: _Site) -> Record:
        size = len(page)
        try:
            element = ElementTree.fromstring(page.decode("utf-8"))
        except UnicodeDecodeError as error:
            return Record(offset, size, Quarantined("bad_encoding", str(error)))
        except ElementTree.ParseError as error:
            return Record(offset, size, Quarantined("bad_xml", str(error)))
        revisions = element.findall("revision")
        page_id, namespace = element.findtext("id", ""), element.findtext("ns", "0")
        title = element.findtext("title", "")
        if not (_PAGE_ID.fullmatch(page_id) and _NAMESPACE.fullmatch(namespace) and revisions):
            return Record(offset, size, Quarantined("bad_fields", "the page lacks an id, a namespace or a revision"))
        key = " ".join([site.name, page_id, revisions[-1].findtext("id", "")]).strip()
        if int(namespace) not in self.options.namespaces or _in_named_namespace(element, title, site):
            return Record(offset, size, Skipped("namespace"), key)
        wikitext = revisions[-1].findtext("text") or ""
        if element.find("redirect") is not None or re.match(r"\s*#\s*redirect", wikitext, re.IGNORECASE):
            return Record(offset, size, Skipped("redirect"), key)
        if len(wikitext) > self.options.max_wikitext_characters:
            return Record(offset, size, Skipped(TOO_LARGE), key)
        try:
            text = plain_text(wikitext, site.removed_namespaces)
        except WikitextError as error:
            return Record(offset, size, Quarantined("bad_wikitext", str(error)), key)
        timestamp = revisions[-1].findtext("timestamp")
        date = iso_date(timestamp)
        notes = (BAD_DATE,) if timestamp and date is None else ()
        return self._record(offset, size, [Text(text, title, _page_url(site, title), date)], key, notes)


def _in_named_namespace(page: ElementTree.Element, title: str, site: _Site) -> bool:
    """Tell by the title, in dumps of before 2012 that have no `<ns>`, whether a page is a file or category."""
    prefix, colon, _ = title.partition(":")
    return page.find("ns") is None and bool(colon) and prefix.strip().lower() in site.removed_namespaces


def _page_url(site: _Site, title: str) -> str | None:
    folder, slash, _ = site.base.rpartition("/")
    return f"{folder}/{quote(title.replace(' ', '_'), safe='/:,()!@;*')}" if slash and title else None


def _read_site(scanner: Scanner) -> _Site:
    """Read `<siteinfo>` at the head of a dump, if there is one, without moving past the first page."""
    head = scanner.peek(_MAX_SITEINFO_BYTES).split(_PAGE, 1)[0]
    start, end = head.find(b"<siteinfo>"), head.find(b"</siteinfo>")
    removed = set(_Site().removed_namespaces)
    if start < 0 or end < 0:
        return _Site()
    try:
        info = ElementTree.fromstring(head[start : end + len(b"</siteinfo>")])
    except ElementTree.ParseError:
        return _Site()
    base = info.findtext("base", "")
    for namespace in info.iter("namespace"):
        if namespace.get("key") in (NAMESPACE_FILE, NAMESPACE_CATEGORY) and namespace.text:
            removed.add(namespace.text.lower())
    name = info.findtext("dbname") or (urlsplit(base).hostname or "")
    return _Site(name, base, frozenset(removed))
