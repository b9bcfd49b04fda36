"""Decompression that survives damage: gzip, bzip2, Zstandard, xz or plain bytes in, blocks of bytes and what went wrong
out.

The content decides what a file is, not its name. A compressed file is a sequence of members (frames, streams); where
one is damaged, the reader is told and the next member that can be found is read on. A block is at most a few MiB, and a
member that swells beyond all text (a decompression bomb) is left as if it were damaged.
"""

from __future__ import annotations

import bz2
import codecs
import lzma
import re
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import IO, Any

READ_BYTES = 1 << 16
_HEADER_BYTES = 16  # longer than any pattern below
_PIECE_BYTES = 1 << 20
MAX_RATIO = 250
"""Decompressed bytes for each compressed one, above which a member is a bomb. Text comes to 50 at the very most."""
BOMB_BYTES = 64 << 20
"""A member of fewer decompressed bytes is none, whatever its ratio."""


@dataclass(frozen=True, slots=True)
class MemberStart:
    """A member of the file begins here; `offset` is its first byte in the file."""

    offset: int


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes are missing between what came before and what comes after.

    Attributes:
        reason: `damaged_gzip`, `truncated_bzip2`, …
        detail: for people.
        rest_is_lost: nothing comes after, though more of the file may have held something.
    """

    reason: str
    detail: str
    rest_is_lost: bool = False


Event = bytes | MemberStart | Damage


@dataclass(frozen=True)
class _Format:
    name: str
    magic: bytes
    start: re.Pattern[bytes]  # for the search after damage: strict, so that compressed bytes hardly ever look like it
    decoder: Callable[[], Any]  # with the interface of bz2.BZ2Decompressor


class _GzipDecoder:
    """A gzip member, with the interface of `bz2.BZ2Decompressor`."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def needs_input(self) -> bool:
        return not self._decoder.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._decoder.decompress(self._decoder.unconsumed_tail + data, max_length)


class _ZstdDecoder:
    """A Zstandard frame, with the interface of `bz2.BZ2Decompressor`."""

    _STEP_BYTES = 128  # the library's decoder takes no limit, and four bytes may swell to 128 KiB

    def __init__(self) -> None:
        import zstandard

        self._decoder = zstandard.ZstdDecompressor().decompressobj()
        self._waiting = memoryview(b"")

    @property
    def eof(self) -> bool:
        return bool(self._decoder.eof)

    @property
    def needs_input(self) -> bool:
        return not self._waiting

    @property
    def unused_data(self) -> bytes:
        return bytes(self._decoder.unused_data) + bytes(self._waiting)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        self._waiting = memoryview(bytes(self._waiting) + data)
        content = bytearray()
        while self._waiting and not self.eof and len(content) < max_length:
            content += self._decoder.decompress(self._waiting[: self._STEP_BYTES])
            self._waiting = self._waiting[self._STEP_BYTES :]
        return bytes(content)


_FORMATS = (
    _Format(
        "gzip",
        b"\x1f\x8b\x08",
        re.compile(rb"\x1f\x8b\x08[\x00-\x1f].{4}[\x00\x02\x04][\x00-\x1f\xff]", re.DOTALL),
        _GzipDecoder,
    ),
    _Format("bzip2", b"BZh", re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"), bz2.BZ2Decompressor),
    _Format("zstd", b"\x28\xb5\x2f\xfd", re.compile(rb"\x28\xb5\x2f\xfd"), _ZstdDecoder),
    _Format("xz", b"\xfd7zXZ\x00", re.compile(rb"\xfd7zXZ\x00\x00[\x00-\x0f]"), lzma.LZMADecompressor),
)
_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18(.{4})", re.DOTALL)


def decompressed(file: IO[bytes]) -> Iterator[Event]:
    """Yield a file's bytes in blocks, decompressed, with the starts of members and damage between them.

    Args:
        file: a seekable file at its start.
    """
    start = _behind_skippable(file, 0)
    head = _peek(file, start)
    file.seek(0)
    for form in _FORMATS:
        if head.startswith(form.magic):
            yield from _members(file, form, start)
            return
    while block := file.read(READ_BYTES):
        yield block


def as_utf8(events: Iterable[Event]) -> Iterator[Event]:
    """Transcode a stream that begins with a UTF-16 byte order mark; everything else passes unchanged."""
    decoder: codecs.IncrementalDecoder | None = None
    first = True
    for event in events:
        if isinstance(event, Damage | MemberStart):
            yield event
            continue
        if first and event.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            decoder = codecs.getincrementaldecoder("utf-16")(errors="replace")
        first = False
        yield decoder.decode(event).encode("utf-8") if decoder else event


def _members(file: IO[bytes], form: _Format, first: int) -> Iterator[Event]:
    start: int | None = first
    while start is not None:
        yield MemberStart(start)
        end = yield from _member(file, form, start)
        if isinstance(end, Damage):
            start = _next_start(file, form, start + 1)
            yield replace(end, rest_is_lost=start is None)
            continue
        start = end = _behind_skippable(file, end)
        if not _peek(file, end).startswith(form.magic):
            start = _next_start(file, form, end)
            if _has_rest(file, end, start):
                yield Damage(f"damaged_{form.name}", f"bytes that belong to no member after byte {end} of the file")


def _member(file: IO[bytes], form: _Format, start: int) -> Generator[Event, None, int | Damage]:
    """Yield one member's bytes; return the position in the file after it, or what is damaged."""
    file.seek(start)
    decoder, swollen = form.decoder(), 0
    try:
        while block := file.read(READ_BYTES):
            for content in filter(None, _pieces(decoder, block)):
                yield content
                swollen += len(content)
                if swollen > max(BOMB_BYTES, MAX_RATIO * (file.tell() - start)):
                    return Damage(
                        "decompression_bomb", f"over {MAX_RATIO} bytes for one, from byte {start} of the file"
                    )
            if decoder.eof:
                return file.tell() - len(decoder.unused_data)
    except Exception as error:
        if not _is_decoding_error(error):
            raise
        return Damage(f"damaged_{form.name}", f"{error}, in the member at byte {start} of the file")
    return Damage(f"truncated_{form.name}", f"the file ends inside the member at byte {start} of the file")


def _pieces(decoder: Any, block: bytes) -> Iterator[bytes]:
    """Decompress a block piece by piece, so that little of what swells is ever held."""
    yield decoder.decompress(block, _PIECE_BYTES)
    while not decoder.eof and not decoder.needs_input:
        yield decoder.decompress(b"", _PIECE_BYTES)


def _is_decoding_error(error: Exception) -> bool:
    """Tell a damaged stream from a failing disk: bz2 raises a plain OSError without an error number."""
    if isinstance(error, zlib.error | lzma.LZMAError) or (isinstance(error, OSError) and error.errno is None):
        return True
    return type(error).__name__ == "ZstdError"


def _behind_skippable(file: IO[bytes], position: int) -> int:
    """Return the position behind the skippable frames of Zstandard, which hold no text (RFC 8878, section 3.1.2)."""
    while found := _SKIPPABLE.match(_peek(file, position)):
        position += len(found[0]) + int.from_bytes(found[1], "little")
    return position


def _peek(file: IO[bytes], position: int) -> bytes:
    file.seek(position)
    return file.read(_HEADER_BYTES)


def _next_start(file: IO[bytes], form: _Format, position: int) -> int | None:
    """Return where, from `position` on, the next member seems to begin."""
    file.seek(position)
    window = b""
    while block := file.read(READ_BYTES):
        window += block
        if found := form.start.search(window):
            return position + found.start()
        kept = window[-_HEADER_BYTES:]
        position += len(window) - len(kept)
        window = kept
    return None


def _has_rest(file: IO[bytes], position: int, end: int | None) -> bool:
    """Tell whether anything but zero bytes (padding of blocked devices) lies between two positions."""
    file.seek(position)
    left = end - position if end is not None else None
    while left is None or left > 0:
        block = file.read(READ_BYTES if left is None else min(READ_BYTES, left))
        if not block:
            return False
        if block.strip(b"\0"):
            return True
        if left is not None:
            left -= len(block)
    return False
