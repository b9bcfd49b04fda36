"""TFRecord files of `tf.train.Example` payloads, written and read without TensorFlow (importing it costs seconds and
0.8 GB).

Framing (docs/formats.md, "Sequence record"): length, masked CRC-32C of the length, payload, masked CRC-32C of the
payload. Beside each shard lies an index of the byte offset of every record, so that any record is read directly.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import TracebackType
from typing import Self

import google_crc32c
import numpy as np

from pipelines.store.files import (
    WRITE_BUFFER_BYTES,
    AtomicFile,
    FileDigest,
    StoreError,
    is_local,
    open_read,
    read_bytes,
    read_range,
    size_of,
    write_bytes,
)

HEADER_BYTES = 12
FOOTER_BYTES = 4
_CRC_MASK_DELTA = 0xA282EAD8
_FOOTER = struct.Struct("<I")


def masked_crc(data: bytes) -> int:
    """Return the CRC-32C of `data`, rotated and offset as TFRecord wants it."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _CRC_MASK_DELTA) & 0xFFFFFFFF


def frame(payload: bytes) -> bytes:
    """Return the bytes of one TFRecord."""
    return b"".join((_header(len(payload)), payload, _FOOTER.pack(masked_crc(payload))))


@lru_cache(maxsize=1 << 12)
def _header(length: int) -> bytes:
    """Return the length of a payload with its CRC."""
    packed = struct.pack("<Q", length)
    return packed + _FOOTER.pack(masked_crc(packed))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, data: bytes) -> bytes:
    """Return a length-delimited protocol buffer field."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def encode_example(features: Mapping[str, bytes]) -> bytes:
    """Serialize a `tf.train.Example` of single-valued bytes features, in order of name (so: always the same bytes)."""
    entries = []
    for name in sorted(features):
        bytes_list = _field(1, features[name])
        entries.append(_field(1, _field(1, name.encode()) + _field(2, _field(1, bytes_list))))
    return _field(1, b"".join(entries))


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (number, bytes) of the length-delimited fields of a message."""
    position = 0
    while position < len(data):
        tag, position = _read_varint(data, position)
        if tag & 7 != 2:
            raise ValueError(f"field {tag >> 3} is not length-delimited")
        length, position = _read_varint(data, position)
        if position + length > len(data):
            raise ValueError(f"field {tag >> 3} runs past the end of its message")
        yield tag >> 3, data[position : position + length]
        position += length


def _only(data: bytes) -> bytes:
    """Return the content of the only field of `data`, or nothing when there is none."""
    return next((content for _, content in _fields(data)), b"")


def decode_example(payload: bytes) -> dict[str, bytes]:
    """Parse a `tf.train.Example` whose features each hold one bytes value.

    Raises:
        ValueError: when `payload` is not such an example.
    """
    features: dict[str, bytes] = {}
    try:
        for _, entry in _fields(_only(payload)):
            parts = dict(_fields(entry))
            features[parts[1].decode()] = _only(_only(parts[2]))
    except (IndexError, KeyError, UnicodeDecodeError) as error:
        raise ValueError(f"not a tf.train.Example of bytes features ({error!r})") from error
    return features


def index_url(shard_url: str) -> str:
    """Return the url of the index that lies beside a shard."""
    return shard_url.removesuffix(".tfrecord") + ".index"


class ShardWriter:
    """Writes one shard and, when it is closed without an error, its index."""

    digest: FileDigest
    index_digest: FileDigest

    def __init__(self, url: str) -> None:
        self._url = url
        self._file = AtomicFile(url)
        self._offsets = [0]
        self._waiting: list[bytes] = []
        self._written = 0

    def write(self, payload: bytes) -> None:
        """Append one record."""
        framed = frame(payload)
        self._offsets.append(self._offsets[-1] + len(framed))
        self._waiting.append(framed)
        if self._offsets[-1] - self._written > WRITE_BUFFER_BYTES:
            self._flush()

    def _flush(self) -> None:
        """Hash and write in one go what would cost more by the record."""
        self._written += self._file.write(b"".join(self._waiting))
        self._waiting.clear()

    @property
    def records(self) -> int:
        """Number of records written so far."""
        return len(self._offsets) - 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            try:
                self._flush()
            except BaseException:
                self._file.discard()
                raise
        self._file.__exit__(kind, error, trace)
        if kind is None:
            self.digest = self._file.digest
            self.index_digest = write_bytes(index_url(self._url), np.asarray(self._offsets, "<u8").tobytes())


class ShardReader:
    """Reads any record of a shard by its number, and checks both its CRCs each time.

    A local shard is mapped into memory; of a remote one, each record is fetched by its range.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._offsets = _read_index(url)
        self._bytes = _mapped(url) if is_local(url) and len(self) else None

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def record(self, number: int) -> bytes:
        """Return the payload of record `number`.

        Raises:
            StoreError: when the shard and its index disagree or a CRC is wrong.
        """
        start, end = int(self._offsets[number]), int(self._offsets[number + 1])
        framed = self._bytes[start:end] if self._bytes is not None else read_range(self._url, start, end)
        return self._unframe(framed, number)

    def _unframe(self, framed: bytes, number: int) -> bytes:
        payload = framed[HEADER_BYTES:-FOOTER_BYTES]
        sound = (
            len(framed) >= HEADER_BYTES + FOOTER_BYTES
            and framed[:HEADER_BYTES] == _header(len(payload))
            and framed[-FOOTER_BYTES:] == _FOOTER.pack(masked_crc(payload))
        )
        if not sound:
            raise _damaged(self._url, f"record {number} is damaged (length or CRC is wrong)")
        return payload


def _read_index(url: str) -> np.ndarray:
    """Return the offsets of a shard's records and its size, (records + 1,) int64.

    Raises:
        StoreError: when shard or index cannot be read, or the index is not one of this shard.
    """
    try:
        data, size = read_bytes(index_url(url)), size_of(url)
    except OSError as error:
        raise _damaged(url, f"it or its index cannot be read ({error.strerror or error})") from error
    if len(data) % 8 or not data:
        raise _damaged(index_url(url), f"{len(data)} bytes are no index")
    offsets = np.frombuffer(data, "<u8").clip(0, size + 1).astype(np.int64)
    if offsets[0] != 0 or offsets[-1] != size or (np.diff(offsets) < HEADER_BYTES + FOOTER_BYTES).any():
        raise _damaged(index_url(url), f"not the index of a shard of {size} bytes")
    return offsets


def _damaged(url: str, problem: str) -> StoreError:
    return StoreError(
        f"{url}: {problem}; run `glam verify`, delete the version and the stages that hold the file, and build again"
    )


def _mapped(url: str) -> mmap.mmap:
    with open_read(url) as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
