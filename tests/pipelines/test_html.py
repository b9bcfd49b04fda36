"""HTML to title and main text: charsets in the order of the standard, no boilerplate, no page crashes the process."""

import pytest

from pipelines.html import NestedTooDeep, decode_html, extract_page

ARTICLE = (
    "<html><head><title> Wörter &amp;\n Sätze </title></head><body>"
    "<nav><a href=/>Start</a> <a href=/x>Kontakt</a></nav>"
    "<article><h1>Überschrift</h1><p>{}</p></article><footer>Impressum</footer><script>var x</script></body></html>"
).format("Die Grüße des Königs waren kühl, und er wußte es wohl. " * 8)
META = '<meta charset="{}">'


def test_main_content_and_title_without_navigation_and_scripts():
    page = extract_page(ARTICLE.encode(), "utf-8")
    assert page.title == "Wörter & Sätze"
    assert page.text.startswith("Überschrift")
    assert "Grüße des Königs" in page.text
    assert not [word for word in ("Kontakt", "Impressum", "var x") if word in page.text]


@pytest.mark.parametrize(
    ("payload", "charset"),
    [
        pytest.param("é".encode("latin-1"), "iso-8859-1", id="http header"),
        pytest.param(META.format("iso-8859-1").encode() + "é".encode("latin-1"), None, id="meta"),
        pytest.param(b"<meta http-equiv=content-type content='text/html; charset=koi8-r'>\xc5", None, id="old meta"),
        pytest.param(META.format("iso-8859-1").encode() + "é".encode(), "utf-8", id="http header before meta"),
        pytest.param(b"\xef\xbb\xbf" + "é".encode(), "iso-8859-1", id="byte order mark before http header"),
        pytest.param(b"\xff\xfe" + "é".encode("utf-16-le"), None, id="utf-16 byte order mark"),
        pytest.param(META.format("utf-16").encode() + "é".encode(), None, id="meta cannot mean utf-16"),
        pytest.param("é".encode(), "no-such-charset", id="unknown label"),
        pytest.param("é".encode(), None, id="nothing declared"),
        pytest.param("é".encode() * 3, "ascii-but-wrong", id="wrong label"),
    ],
)
def test_charset_is_found_in_order(payload, charset):
    expected = "е" if b"koi8" in payload else "é"
    assert decode_html(payload, charset).endswith(expected)


def test_undeclared_single_byte_page_is_detected():
    text = "Les élèves ont été très étonnés par la réponse donnée à la question posée. " * 10
    assert decode_html(text.encode("cp1252")) == text


def test_some_broken_bytes_do_not_turn_a_utf8_page_into_mojibake():
    payload = ("日本語のページ、éàü。" * 200).encode()
    text = decode_html(payload[:300] + b"\xff\xfe" + payload[300:], "utf-8")
    assert text.count("日本語のページ") >= 199
    assert text.count("\ufffd") <= 4


@pytest.mark.parametrize("tag", ["div", "b", "blockquote"])
def test_deep_nesting_is_refused_before_it_is_parsed(tag):
    payload = f"<html><body>{f'<{tag}>' * 200_000}text".encode()
    with pytest.raises(NestedTooDeep, match="2000"):
        extract_page(payload)


def test_many_flat_elements_are_no_nesting():
    rows = "".join(f"<p>A sentence that says <b>something</b><br> about item {n}." for n in range(3000))
    assert "item 2999" in extract_page(f"<article>{rows}</article>".encode()).text


@pytest.mark.parametrize(
    "payload", [b"", b"\x00\xff" * 50, b"<", b"<!--", b"<html><body><p>\x01</p>", b"%PDF-1.4 \xe2"]
)
def test_anything_is_decoded_and_extracted(payload):
    page = extract_page(payload)
    assert isinstance(page.text, str)
