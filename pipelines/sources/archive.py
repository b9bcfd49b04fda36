"""What a file holds: itself, decompressed, or the members of a zip archive, each as a scanner.

In: a plain, compressed or zip file; its content decides which. Out: `Content`s in the order of the file. An archive
that cannot be opened, and a member that breaks off, is damage at which its scanner stops.
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import IO

from pipelines.sources.decompression import BOMB_BYTES, MAX_RATIO, READ_BYTES, Damage, Event, as_utf8, decompressed
from pipelines.sources.record import Record, Skipped
from pipelines.sources.scanner import Scanner

_ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")  # the second of an archive without members
_BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, NotImplementedError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Content:
    """A file, or a member of a zip archive.

    Attributes:
        scanner: at its first byte.
        name: of the member, with its folders; empty for a file that is no archive.
        base: added to the scanner's offsets; where the member begins in the archive, else 0.
    """

    scanner: Scanner
    name: str = ""
    base: int = 0


def contents(file: IO[bytes], members: str = "*", as_text: bool = False) -> Iterator[Content]:
    """Yield what is to be read of a file.

    Args:
        file: seekable, at its start.
        members: of an archive, the names that are read (a shell pattern); the others are left to `other_members`.
        as_text: what begins with a UTF-16 byte order mark is transcoded; offsets then count UTF-8 bytes.
    """

    def scanner(events: Iterable[Event]) -> Scanner:
        return Scanner(as_utf8(events) if as_text else events)

    if not _is_zip(file):
        yield Content(scanner(decompressed(file)))
        return
    try:
        archive = zipfile.ZipFile(file)
    except _BROKEN as error:
        yield Content(Scanner([Damage("bad_zip", str(error), rest_is_lost=True)]))
        return
    for member in _members(archive):
        if fnmatchcase(member.filename, members):
            yield Content(scanner(_member_events(archive, member)), member.filename, member.header_offset)


def other_members(file: IO[bytes], members: str) -> Iterator[Record]:
    """Yield a skipped record for each member of a zip archive whose name is not to be read; the file is at its start.

    An archive that cannot be opened has none here: `contents` tells of it.
    """
    if members == "*" or not _is_zip(file):
        return
    try:
        archive = zipfile.ZipFile(file)
    except _BROKEN:
        return
    finally:
        file.seek(0)
    for member in _members(archive):
        if not fnmatchcase(member.filename, members):
            yield Record(member.header_offset, member.file_size, Skipped("other_member"))


def _is_zip(file: IO[bytes]) -> bool:
    start = file.read(4)
    file.seek(0)
    return start in _ZIP_MAGICS


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    files = (member for member in archive.infolist() if not member.is_dir())
    return sorted(files, key=lambda member: member.header_offset)


def _member_events(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes | Damage]:
    """Yield an archive member's bytes in blocks, and damage where it breaks off."""
    if member.file_size > max(BOMB_BYTES, MAX_RATIO * member.compress_size):
        yield Damage("decompression_bomb", f"member {member.filename}: over {MAX_RATIO} bytes for one")
        return
    try:
        with archive.open(member) as file:
            while block := file.read(READ_BYTES):
                yield block
    except (*_BROKEN, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # a failing disk; the decoder of bzip2 raises one without a number
        yield Damage("damaged_zip", f"member {member.filename}: {error}")
