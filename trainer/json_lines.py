"""Files of JSON lines whose every line must be right: a path in, a typed object a line out.

Importing this module does not import JAX.
"""

from __future__ import annotations

import json
from typing import TypeVar

from pydantic import BaseModel

from pipelines.store.configuration import ConfigError, validate
from pipelines.store.files import read_bytes

T = TypeVar("T", bound=BaseModel)


def read_json_lines(path: str, model: type[T]) -> list[T]:
    """Return the objects of a file in their order; blank lines are passed over.

    Args:
        path: the file.
        model: what every line must be.

    Raises:
        ConfigError: with file, line, field, constraint and value, for the first line that is not.
    """
    found = []
    for number, line in enumerate(_lines(path), 1):
        if line.strip():
            found.append(validate(model, _object(line, f"{path}: line {number}"), f"{path}: line {number}"))
    if not found:
        raise ConfigError(f"{path}: holds no line; write one JSON object a line with {', '.join(model.model_fields)}")
    return found


def _lines(path: str) -> list[bytes]:
    try:
        return read_bytes(path).split(b"\n")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a file of JSON lines") from error


def _object(line: bytes, place: str) -> dict:
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{place}: not JSON ({error}); mend or remove it") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{place}: no JSON object; mend or remove it")
    return value
