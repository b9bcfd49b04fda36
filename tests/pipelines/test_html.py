"""HTML to title and main text: no boilerplate, no nesting without end, whatever the bytes."""

import pytest

from pipelines.html import NestedTooDeep, extract_page

ARTICLE = (
    "<html><head><title> Wörter &amp;\n Sätze </title></head><body>"
    "<nav><a href=/>Start</a> <a href=/x>Kontakt</a></nav>"
    "<article><h1>Überschrift</h1><p>{}</p></article><footer>Impressum</footer><script>var x</script></body></html>"
).format("Die Grüße des Königs waren kühl, und er wußte es wohl. " * 8)


def test_main_content_and_title_without_navigation_and_scripts():
    page = extract_page(ARTICLE.encode(), "utf-8")
    assert page.title == "Wörter & Sätze"
    assert page.text.startswith("Überschrift")
    assert "Grüße des Königs" in page.text
    assert not [word for word in ("Kontakt", "Impressum", "var x") if word in page.text]


@pytest.mark.parametrize("tag", ["div", "b", "blockquote"])
def test_deep_nesting_is_refused_before_it_is_parsed(tag):
    payload = f"<html><body>{f'<{tag}>' * 200_000}text".encode()
    with pytest.raises(NestedTooDeep, match="2000"):
        extract_page(payload)


def test_unclosed_elements_that_close_themselves_do_not_nest():
    page = b"<article>" + b"<p>A sentence that says <img src=x>something.<br>" * 3000
    assert extract_page(page).text.count("sentence") == 3000


def test_end_tags_of_nothing_make_no_room():
    with pytest.raises(NestedTooDeep):
        extract_page(b"</i>" * 3000 + b"<div>" * 3000)


def test_many_flat_elements_are_no_nesting():
    rows = "".join(f"<p>A sentence that says <b>something</b><br> about item {n}." for n in range(3000))
    assert "item 2999" in extract_page(f"<article>{rows}</article>".encode()).text


@pytest.mark.parametrize(
    "payload", [b"", b"\x00\xff" * 50, b"<", b"<!--", b"<html><body><p>\x01</p>", b"%PDF-1.4 \xe2"]
)
def test_anything_is_decoded_and_extracted(payload):
    page = extract_page(payload)
    assert isinstance(page.text, str)
