"""The items of a JSON array, or of a JSON object, read one by one: the memory of one item, whatever the file's size.

In: a scanner over UTF-8, one array or object or several in a row. Out: `Item`s with their place in the file, and a
quarantined record for each that is broken. Sound items are found by parsing. After a broken one, reading goes on where
the next begins: items of one file begin alike, with the same first key.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipelines.sources.reader import TOO_LARGE, damaged
from pipelines.sources.record import Quarantined, Record, Skipped
from pipelines.sources.scanner import Scanner, skip_blanks

_BLANKS = b" \t\r\n"
_WINDOW_BYTES = 1 << 16
_START_BYTES = 1 << 10
"""The most that the beginning of an item takes: its key, its brace and its first key."""
_KEY = re.compile(rb'"(?:[^"\\]|\\.)*"\s*:\s*', re.DOTALL)
_FIRST_KEY = re.compile(rb'\{\s*("[^"\\]*")\s*:')
_DECODER = json.JSONDecoder()
_LONGEST_TOKEN = 16
"""More than a token other than a string takes that a window may cut: `-Infinity`, an escaped surrogate pair."""


@dataclass(frozen=True, slots=True)
class Item:
    """A sound item.

    Attributes:
        offset: as `Record.offset` defines it.
        raw_bytes: of the item, with its key in an object.
        key: in an object; None in an array.
        value: parsed.
    """

    offset: int
    raw_bytes: int
    key: str | None
    value: Any


def json_items(scanner: Scanner, limit: int, first_key: str = "") -> Iterator[Item | Record]:
    """Yield the items of a file in its order, sound or broken.

    Args:
        scanner: at the start of the file.
        limit: bytes; a larger item is skipped as `too_large`.
        first_key: with which items of an array may be expected to begin, until the first is seen; for a file whose
            beginning is damaged.
    """
    return _Items(scanner, limit, first_key).items()


class _Items:
    def __init__(self, scanner: Scanner, limit: int, first_key: str) -> None:
        self._scanner, self._limit = scanner, limit
        self._closing: bytes | None = None  # the bracket that ends the array or object at hand
        # How an item of this file begins: as far as expected, then as learned from the first.
        self._start = _start(json.dumps(first_key).encode()) if first_key else None
        self._learned = False
        self._damaged = False

    def items(self) -> Iterator[Item | Record]:
        scanner = self._scanner
        if scanner.peek(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8:
            scanner.skip(len(codecs.BOM_UTF8))
        while True:
            skip_blanks(scanner, _BLANKS if self._closing is None else _BLANKS + b",")
            following, offset = scanner.peek(1), scanner.offset
            if scanner.at_end():
                break
            if self._at_item():
                self._closing = self._closing or (b"}" if following == b'"' else b"]")
                yield self._next(offset)
            elif following == self._closing:
                scanner.skip(1)
                self._closing = None
            elif self._closing is None and following in (b"[", b"{"):
                scanner.skip(1)
                self._closing = b"]" if following == b"[" else b"}"
            else:
                yield self._pass_over(offset, "bytes that belong to no item")
        if self._closing is not None and not self._damaged:
            yield Record(scanner.offset, 0, Quarantined("bad_json", "the file ends before its closing bracket", True))

    def _at_item(self) -> bool:
        """Tell whether an item begins at the cursor; behind a stray bracket, one that begins as the others did."""
        if self._closing is None:
            return self._start is not None and self._start.match(self._scanner.peek(_START_BYTES)) is not None
        return self._scanner.peek(1) == (b"{" if self._closing == b"]" else b'"')

    def _pass_over(self, offset: int, problem: str) -> Record:
        """Pass over what is broken or no item: to the next that begins like the others, or to damage or the end."""
        passed = self._scanner.skip(1) + self._skip_to_start()
        if damage := self._scanner.take_damage():
            self._damaged = True
            return damaged(offset, passed, damage)
        return Record(offset, passed, Quarantined("bad_json", problem))

    def _skip_to_start(self) -> int:
        if self._start:
            return self._scanner.skip_to(self._start, _START_BYTES)
        passed = 0
        while step := self._scanner.skip(1 << 20):
            passed += step
        return passed

    def _next(self, offset: int) -> Item | Record:
        """Read the item that begins at the cursor."""
        scanner, size = self._scanner, _WINDOW_BYTES
        self._learn_start()
        while True:
            window = scanner.peek(min(size, self._limit + 1))
            found = _parse(window, in_object=self._in_object())
            if isinstance(found, Item) and found.raw_bytes <= self._limit:
                if self._in_object() and _holds_another(found.value):
                    return self._pass_over(offset, "it holds the next")
                return self._sound(offset, scanner.read(found.raw_bytes), found)
            if isinstance(found, _Unfinished) and len(window) == size:
                size *= 4
            elif isinstance(found, _Wrong) or len(window) <= self._limit:
                return self._pass_over(offset, str(found))
            else:
                return Record(offset, scanner.skip(len(window)) + self._skip_to_start(), Skipped(TOO_LARGE))

    def _in_object(self) -> bool:
        return self._scanner.peek(1) == b'"'

    def _learn_start(self) -> None:
        """Learn from the item at the cursor how items of this file begin."""
        head = self._scanner.peek(_START_BYTES)
        key = _KEY.match(head) if self._in_object() else None
        first = _FIRST_KEY.match(head, key.end() if key else 0)
        if first and not self._learned:
            self._start, self._learned = _start(first[1], in_object=key is not None), True

    def _sound(self, offset: int, data: bytes, item: Item) -> Item | Record:
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as error:
            return Record(offset, len(data), Quarantined("bad_encoding", str(error)))
        return Item(offset, len(data), item.key, item.value)


def _start(first_key: bytes, in_object: bool = False) -> re.Pattern[bytes]:
    before = rb'"[^"\\]{1,256}"\s*:\s*' if in_object else b""
    return re.compile(before + rb"\{\s*" + re.escape(first_key) + rb"\s*:")


class _Wrong(str):
    """Why an item is no JSON, whatever follows."""


class _Unfinished(str):
    """Why an item is no JSON so far; it may become some with more bytes."""


def _parse(window: bytes, in_object: bool) -> Item | _Wrong | _Unfinished:
    """Parse the item at the start of a window, and tell its size."""
    # A window may end within a character; and one bad byte must not hide where the item ends.
    text = window.decode("utf-8", "surrogateescape")
    key, begin = None, 0
    try:
        if in_object:
            key, begin = _DECODER.raw_decode(text)
            colon = re.compile(r"\s*:\s*").match(text, begin)
            begin = colon.end() if colon else begin
        value, end = _DECODER.raw_decode(text, begin)
    except json.JSONDecodeError as error:
        at_end = error.pos > len(text) - _LONGEST_TOKEN or error.msg.startswith("Unterminated string")
        return (_Unfinished if at_end else _Wrong)(error)
    except (ValueError, RecursionError) as error:
        return _Wrong(error)
    return Item(0, len(text[:end].encode("utf-8", "surrogateescape")), key, value)


def _holds_another(value: Any) -> bool:
    """Tell whether a brace is missing, so that the following members of the object became members of this one.

    In an array that would be no JSON. Here an object within has all the members that this one has of its own.
    """
    if not isinstance(value, dict):
        return False
    within = [member for member in value.values() if isinstance(member, dict)]
    own = {name for name, member in value.items() if not isinstance(member, dict)}
    return bool(own) and any(own <= member.keys() for member in within)
