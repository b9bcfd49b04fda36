"""Charsets are found in the order of the standard, and how is told."""

import pytest

from pipelines.charset import decode_html, decode_noting

META = '<meta charset="{}">'


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


def test_utf8_with_the_declaration_of_an_earlier_charset_left_in_it():
    page = META.format("iso-8859-1") + "Thüringen"
    assert decode_noting(page.encode(), "windows-1252") == (page, "charset_utf8")


def test_ascii_bytes_can_mean_another_charset():
    page = META.format("iso-2022-jp") + "日本"
    assert decode_noting(page.encode("iso-2022-jp")) == (page, "charset_meta")


@pytest.mark.parametrize(
    ("payload", "charset", "note"),
    [
        (b"\xef\xbb\xbfa", "utf-8", "charset_byte_order_mark"),
        (b"a", "utf-8", "charset_http"),
        (META.format("koi8-r").encode() + b"\xc5", None, "charset_meta"),
        (META.format("utf-8").encode() + "é à".encode("cp1252"), None, "charset_repaired"),
        ("é".encode(), "no-such-charset", "charset_utf8"),
        ("Les élèves ont été très étonnés par la réponse. ".encode("cp1252") * 10, None, "charset_detected"),
        (b"\x81\x8d\x8f" * 9, "utf-8", "charset_repaired"),
    ],
)
def test_how_the_charset_was_found(payload, charset, note):
    assert decode_noting(payload, charset)[1] == note
