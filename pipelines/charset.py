"""The text of an HTML page from its bytes, and how its charset was found.

The order is that of the HTML standard (byte order mark, HTTP header, `<meta>`, then detection from the bytes) with
one exception: bytes beyond ASCII that are valid UTF-8 are UTF-8, whatever is declared. Pages are often stored anew in
UTF-8 with the old declaration left in them, and hardly any text in another charset is valid UTF-8. A page that is not
valid in the charset it declares is decoded by detection, or with replacement characters where nothing fits.
"""

from __future__ import annotations

import codecs
import re

BYTE_ORDER_MARK = "charset_byte_order_mark"
HTTP = "charset_http"
META = "charset_meta"
UTF8 = "charset_utf8"
"""Note: the bytes are UTF-8, which nothing declared."""
DETECTED = "charset_detected"
REPAIRED = "charset_repaired"
"""Note: no charset fits the page; bytes that mean nothing became replacement characters."""

_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_META_BYTES = 4096
_META_CHARSET = re.compile(rb"<meta[^>]{0,512}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{2,40})", re.IGNORECASE)
_REPLACEMENT = "\ufffd"


def decode_html(payload: bytes, charset: str | None = None) -> str:
    """Decode a page; `charset` is that of the HTTP header, if any."""
    return decode_noting(payload, charset)[0]


def decode_noting(payload: bytes, charset: str | None = None) -> tuple[str, str]:
    """Decode a page and tell how.

    Args:
        payload: the page's bytes.
        charset: that of the HTTP header, if any.

    Returns:
        The text, and one of the notes above: where its charset was found.
    """
    for mark, name in _BYTE_ORDER_MARKS:
        if payload.startswith(mark):
            return payload[len(mark) :].decode(name, errors="replace"), BYTE_ORDER_MARK
    meta = _META_CHARSET.search(payload[:_META_BYTES])
    declared = {HTTP: _codec(charset), META: _codec(meta[1].decode("ascii")) if meta else None}
    if not payload.isascii() and (text := _decode_strictly(payload, "utf-8")) is not None:
        return text, next((note for note, label in declared.items() if label == "utf-8"), UTF8)
    for note, label in declared.items():
        if label and (text := _decode_strictly(payload, label)) is not None:
            return text, note
    return _decode_by_detection(payload, [name for name in declared.values() if name])


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


def _decode_by_detection(payload: bytes, declared: list[str]) -> tuple[str, str]:
    from resiliparse.parse.encoding import detect_encoding

    text = _decode_strictly(payload, "utf-8")
    if text is not None:
        return text, UTF8
    detected = detect_encoding(payload) or "utf-8"
    candidates = [payload.decode(name, errors="replace") for name in [*declared, "utf-8", _known(detected)]]
    # A few broken bytes must not turn a whole page into mojibake: the first candidate that fits most of it wins.
    best = candidates[0]
    for other in candidates[1:]:
        broken = best.count(_REPLACEMENT)
        if broken > max(8, len(best) // 1000) and other.count(_REPLACEMENT) < broken:
            best = other
    return best, REPAIRED if _REPLACEMENT in best else DETECTED


def _known(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError:
        return "cp1252"
