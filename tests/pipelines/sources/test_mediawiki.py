"""MediaWiki dumps: articles in, redirects and other namespaces counted out, broken pages alone lost."""

import bz2
import gzip

import pytest

from pipelines.sources.mediawiki import MediaWikiReader
from pipelines.sources.wikitext import WikitextError, plain_text

HEAD = (
    "<mediawiki><siteinfo><dbname>testwiki</dbname><base>https://test.example/wiki/Main</base><namespaces>"
    '<namespace key="6">Datei</namespace><namespace key="14">Kategorie</namespace></namespaces></siteinfo>\n'
)
REMOVED = frozenset({"file", "image", "category", "datei"})


def page(number: int, text: str = "An '''article''' about [[thing]]s.", extra: str = "", namespace: int = 0) -> str:
    return (
        f"<page><title>Title {number}</title><ns>{namespace}</ns><id>{number}</id>{extra}<revision><id>{number}00</id>"
        f"<timestamp>2020-01-01T00:00:00Z</timestamp><text>{text}</text></revision></page>\n"
    )


@pytest.fixture
def read(tmp_path):
    def read(content: str | bytes, **options):
        path = tmp_path / "dump.xml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(MediaWikiReader(options).read(str(path)))

    return read


def test_english_dump_piece(installed, tally):
    (path,) = installed("package:gensim/test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-*.bz2")
    records = list(MediaWikiReader().read(path))
    assert tally(records) == {"used": 106, "redirect": 99, "namespace": 1}
    anarchism = next(record for record in records if record.native_key == "enwiki 12 716551092")
    (text,) = anarchism.outcome.texts
    assert (text.title, text.url) == ("Anarchism", "https://en.wikipedia.org/wiki/Anarchism")
    assert text.date == "2016-04-22T10:19:33Z"
    assert text.text.startswith("Anarchism is a political philosophy that advocates self-governed societies")
    leftovers = ("{{", "}}", "[[", "{|", "<ref", "'''", "|thumb")
    assert not [mark for record in records for mark in leftovers if mark in str(getattr(record.outcome, "texts", ""))]


def test_utf16_dump(corpus, tally):
    records = list(MediaWikiReader().read(str(corpus / "wikipedia/bgwiki-latest-pages-articles-shortened.xml.bz2")))
    assert tally(records)["used"] >= 1
    assert tally(records).total() == 3
    assert "България" in "".join(t.text for r in records for t in getattr(r.outcome, "texts", ()))


def test_truncated_real_dump_keeps_what_was_whole(installed, tmp_path, tally):
    (path,) = installed("package:gensim/test/test_data/enwiki-table-markup.xml.bz2")
    with bz2.open(path) as file:
        xml = file.read()
    third = xml.index(b"<page>", xml.index(b"<page>", xml.index(b"<page>") + 1) + 1)
    cut = tmp_path / "cut.xml.gz"
    packed = gzip.compress(xml[: third + 5000], compresslevel=0)
    cut.write_bytes(packed[:-2000])
    assert tally(MediaWikiReader().read(str(cut))) == {"used": 2, "!truncated_gzip": 1}


def test_outcomes(read, tally):
    records = read(
        HEAD
        + page(1)
        + page(2, extra='<redirect title="Title 1" />')
        + page(3, "#REDIRECT [[Title 1]]")
        + page(4, namespace=10)
        + page(5, "{{only a template}}")
        + page(6, "x" * 3000)
        + "</mediawiki>",
        max_wikitext_characters=2000,
    )
    assert tally(records) == {"used": 1, "redirect": 2, "namespace": 1, "no_text": 1, "too_large": 1}
    assert records[0].native_key == "testwiki 1 100"
    assert records[0].outcome.texts[0].url == "https://test.example/wiki/Title_1"
    assert records[0].outcome.texts[0].text == "An article about things."


@pytest.mark.parametrize("namespace", ["--5", "9" * 5000, "²", ""])
def test_numbers_that_are_none(read, tally, namespace):
    assert tally(read(page(1).replace("<ns>0<", f"<ns>{namespace}<") + page(2))) == {"!bad_fields": 1, "used": 1}
    assert tally(read(page(1).replace("<id>1<", f"<id>{namespace}<") + page(2))) == {"!bad_fields": 1, "used": 1}


def test_timestamp_that_is_no_date(read):
    (record,) = read(page(1).replace("2020-01-01T00:00:00Z", "soon"))
    assert (record.outcome.texts[0].date, record.outcome.notes) == (None, ("bad_date",))


def test_broken_pages_cost_only_themselves(read, tally):
    broken = page(2).replace("</revision>", "")
    unended = page(3).replace("</page>\n", "")
    bad_bytes = page(4).encode().replace(b"article", b"arti\xffcle")
    content = (HEAD + page(1) + broken + unended).encode() + bad_bytes + (page(5) + page(6)[:80]).encode()
    records = read(content)
    assert tally(records) == {"used": 2, "!bad_xml": 1, "!truncated_page": 2, "!bad_encoding": 1}
    assert [r.offset for r in records] == [i for i in range(len(content)) if content.startswith(b"<page>", i)]


def test_utf16_is_read_and_offsets_count_utf8_bytes(read, tally):
    records = read((HEAD + page(1, "Ein größerer Artikel.")).encode("utf-16"))
    assert tally(records) == {"used": 1}
    assert records[0].offset == len(HEAD.encode())
    assert records[0].outcome.texts[0].text == "Ein größerer Artikel."


def test_page_larger_than_the_limit_is_passed_over(read, tally):
    assert tally(read(HEAD + page(1, "x" * 5000) + page(2), max_record_bytes=1000)) == {"too_large": 1, "used": 1}


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("A {{template|with=a}} b<ref>note</ref> c<ref name=x />.", "A b c."),
        ("''it'' and '''bold'''", "it and bold"),
        ("[[Datei:Bild.jpg|thumb|A [[link]] in a caption]]Text", "Text"),
        ("[[Sonstwas:Bild.png|mini|x]]Text [[Category:C]][[fr:Texte]]", "Text"),
        ("[[:Category:C|the category]]", "the category"),
        ("Born ({{lang-de|Ort}}; ) in (, ; x)", "Born (Ort; ) in (x)"),
        ("It is {{convert|5|km|mi}} to {{lang|de|Köln}}.", "It is 5 km to Köln."),
        ("{| class=wikitable\n|-\n| cell\n|}\nAfter", "After"),
        ("* one\n* two", "one\ntwo"),
        ("[http://a.example label] text", "label text"),
        ("Text __NOTOC__ <!-- hidden -->end &amp; more", "Text end & more"),
    ],
)
def test_wikitext(wikitext, text):
    assert plain_text(wikitext, REMOVED).strip() == text


@pytest.mark.parametrize(
    ("closing", "opening"),
    [
        ("", "<ref>"), ("", "{|\n"), ("", "<div class=x>"), ("", "[http://a.example "), ("", "{{a|"), ("", "[[a|"),
        ("", "<!--"), ("", "<br "), ("", "[[File:a|[[b]]"), ("</b>", "<b>"), ("/>", "<ref "), ("}}", "{{a|"),
        ("|}", "\n{|\n|-\n| "),
    ],
)  # fmt: skip
def test_markup_that_is_never_closed_is_refused_at_once(closing, opening):
    with pytest.raises(WikitextError, match="not closed"):
        plain_text(closing * 30_000 + opening * 30_000, REMOVED)


def test_headings_stay_where_text_stands_beneath_them():
    wikitext = (
        "Lead.\n== A ==\n=== A1 ===\nText.\n=== A2 ===\n{{list}}\n== B ==\n{{reflist}}\n== C ==\n=== C1 ===\n{{x}}\n"
    )
    assert plain_text(wikitext, REMOVED).split() == ["Lead.", "A", "A1", "Text."]
