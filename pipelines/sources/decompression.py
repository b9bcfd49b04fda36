"""Decompression that survives damage: gzip, bzip2, Zstandard or plain bytes in, blocks of bytes and what went wrong
out.

The content decides what a file is, not its name. A compressed file is a sequence of members (frames, streams); where
one is damaged, the reader is told and the next member that can be found is read on.
"""

from __future__ import annotations

import bz2
import re
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import IO, Any

READ_BYTES = 1 << 16
_HEADER_BYTES = 16  # longer than any pattern below


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
    """

    reason: str
    detail: str


Event = bytes | MemberStart | Damage


@dataclass(frozen=True)
class _Format:
    name: str
    magic: bytes
    start: re.Pattern[bytes]  # for the search after damage: strict, so that compressed bytes hardly ever look like it
    decoder: Callable[[], Any]


def _zstd_decoder() -> Any:
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj()


_FORMATS = (
    _Format(
        "gzip",
        b"\x1f\x8b\x08",
        re.compile(rb"\x1f\x8b\x08[\x00-\x1f].{4}[\x00\x02\x04][\x00-\x1f\xff]", re.DOTALL),
        lambda: zlib.decompressobj(31),
    ),
    _Format("bzip2", b"BZh", re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"), bz2.BZ2Decompressor),
    _Format("zstd", b"\x28\xb5\x2f\xfd", re.compile(rb"\x28\xb5\x2f\xfd"), _zstd_decoder),
)


def decompressed(file: IO[bytes]) -> Iterator[Event]:
    """Yield a file's bytes in blocks, decompressed, with the starts of members and damage between them.

    Args:
        file: a seekable file at its start.
    """
    head = file.read(_HEADER_BYTES)
    file.seek(0)
    for form in _FORMATS:
        if head.startswith(form.magic):
            yield from _members(file, form)
            return
    while block := file.read(READ_BYTES):
        yield block


def _members(file: IO[bytes], form: _Format) -> Iterator[Event]:
    start: int | None = 0
    while start is not None:
        yield MemberStart(start)
        end = yield from _member(file, form, start)
        start = _next_start(file, form, start + 1) if end is None else end
        if end is not None and not _peek(file, end).startswith(form.magic):
            start = _next_start(file, form, end)
            if _has_rest(file, end, start):
                yield Damage(f"damaged_{form.name}", f"bytes that belong to no member after byte {end} of the file")


def _member(file: IO[bytes], form: _Format, start: int) -> Generator[Event, None, int | None]:
    """Yield one member's bytes; return the position in the file after it, or None where it is damaged."""
    file.seek(start)
    decoder = form.decoder()
    try:
        while block := file.read(READ_BYTES):
            content = decoder.decompress(block)
            if content:
                yield content
            if decoder.eof:
                return file.tell() - len(decoder.unused_data)
    except Exception as error:
        if not _is_decoding_error(error):
            raise
        yield Damage(f"damaged_{form.name}", f"{error}, in the member at byte {start} of the file")
        return None
    yield Damage(f"truncated_{form.name}", f"the file ends inside the member at byte {start} of the file")
    return None


def _is_decoding_error(error: Exception) -> bool:
    """Tell a damaged stream from a failing disk: bz2 raises a plain OSError without an error number."""
    if isinstance(error, zlib.error) or (isinstance(error, OSError) and error.errno is None):
        return True
    return type(error).__name__ == "ZstdError"


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
