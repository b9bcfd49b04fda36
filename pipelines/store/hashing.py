"""Hashes and ids: the only source of identity and of randomness in the project.

Everything here is a pure function of its arguments (docs/formats.md, "Ids"). A random choice is a keyed hash of the
thing it is about, so that it does not depend on worker order, engine, or how the input is split.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from typing import Any

DIGEST_BYTES = 16


def canonical_json(value: Any) -> bytes:
    """Serialize `value` to the one JSON text that stands for it.

    Raises:
        TypeError: for anything but objects with string keys, lists, strings, integers, booleans, null and finite
            floats, since
            such a value has no single serialization and would make a fingerprint unstable.
    """
    _refuse_ambiguous(value, "$")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _refuse_ambiguous(value: Any, path: str) -> None:
    if value is None or isinstance(value, str | bool | int):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"{path}: {value} has no canonical JSON form; use a finite number")
        return
    if isinstance(value, list | tuple):
        for position, item in enumerate(value):
            _refuse_ambiguous(item, f"{path}[{position}]")
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{path}: key {key!r} is not a string; canonical JSON has string keys only")
            _refuse_ambiguous(item, f"{path}.{key}")
        return
    raise TypeError(f"{path}: a {type(value).__name__} has no canonical JSON form; use plain JSON values")


def sha256_json(value: Any) -> str:
    """Return the sha256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


class KeyedHash:
    """A random function from byte keys to unsigned 64-bit integers, fixed by (seed, purpose).

    Example:
        >>> draw = KeyedHash(17, "pareto")
        >>> draw(b"some document id") == draw(b"some document id")
        True
    """

    def __init__(self, seed: int, purpose: str) -> None:
        key = hashlib.blake2b(canonical_json([seed, purpose]), digest_size=DIGEST_BYTES).digest()
        self._state = hashlib.blake2b(digest_size=8, key=key)

    def __call__(self, key: bytes) -> int:
        """Return the hash of `key`, uniform in [0, 2^64)."""
        state = self._state.copy()
        state.update(key)
        return int.from_bytes(state.digest(), "big")

    def many(self, keys: Iterable[bytes]) -> list[int]:
        """Return the hashes of `keys`, in order."""
        return [self(key) for key in keys]


def keyed_hash(seed: int, purpose: str, key: bytes) -> int:
    """Return hash(seed, purpose, key) of docs/formats.md, uniform in [0, 2^64)."""
    return KeyedHash(seed, purpose)(key)


def content_hash(text: str) -> bytes:
    """Return the 16-byte content hash of a normalized text."""
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).digest()


def document_id(source: str, native_key: str, content: bytes) -> bytes:
    """Return the 16-byte id of a document: its source, its native key (may be empty) and its content hash."""
    state = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for field in (source.encode(), native_key.encode(), content):
        state.update(len(field).to_bytes(8, "little"))
        state.update(field)
    return state.digest()


def shard_of(identifier: bytes, shards: int) -> int:
    """Return the number of the shard, in [0, shards), that holds the document `identifier`."""
    return int.from_bytes(identifier[:8], "big") % shards


def part_name(shard: int, shards: int, suffix: str) -> str:
    """Return the file name of a shard, e.g. `part-00000-of-00004.parquet`."""
    return f"part-{shard:05d}-of-{shards:05d}{suffix}"
