"""Typed configuration from TOML files: reading, `key=value` overrides, and errors that name file, key and value.

It knows nothing of what is configured; corpora, trainings and studies bring their own models.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.store.errors import GlamError

T = TypeVar("T", bound=BaseModel)

FORMAT = 1
"""Of configurations: a file may say `format = 1` at its top; one of a later format is refused as such."""


class ConfigError(GlamError):
    """A configuration is refused; the message names file, key, value, constraint and remedy."""


class Settings(BaseModel):
    """A part of a configuration: frozen, and no key that it doesn't know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def load_settings(model: type[T], path: str, overrides: Sequence[str] = ()) -> T:
    """Read a TOML file into a model.

    Args:
        model: the typed model.
        path: the TOML file.
        overrides: `key=value`, the key dotted (`model.experts=8`), the value as in TOML; a bare word is a string.

    Raises:
        ConfigError: when the file, a key or a value is refused.
    """
    values = read_toml(path)
    for override in overrides:
        apply_override(values, override, path)
    _keep_text(model, values, overrides)
    return validate(model, values, path)


def _keep_text(model: type[T], values: dict[str, Any], overrides: Sequence[str]) -> None:
    """Where the model wants text, take an override's value as it was written: an id may be made of digits alone."""
    try:
        model.model_validate(values)
    except ValidationError as error:
        wanted = {problem["loc"] for problem in error.errors() if problem["type"] == "string_type"}
        for override in overrides:
            key, _, text = override.partition("=")
            *parents, last = key.strip().split(".")
            if (*parents, last) in wanted:
                node = values
                for parent in parents:
                    node = node[parent]
                node[last] = text


def read_toml(path: str) -> dict[str, Any]:
    """Read a TOML file; its `format` is checked and taken out.

    Raises:
        ConfigError: when it cannot be read, is not TOML or is of a later format.
    """
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the path of a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    _check_format(values.pop("format", FORMAT), path)
    return values


def _check_format(number: Any, path: str) -> None:
    if not isinstance(number, int) or number < 1:
        raise ConfigError(f"{path}: format: a number from 1 on (given: {number!r:.80}); take it out or write {FORMAT}")
    if number > FORMAT:
        raise ConfigError(f"{path}: format {number}, this program reads up to {FORMAT}; install a newer version of it")


def apply_override(values: dict[str, Any], override: str, path: str) -> None:
    """Set one `key=value` in a configuration that was read.

    Raises:
        ConfigError: when the override has no `=`, or its key runs through a value.
    """
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override}: write key=value, e.g. --set training.steps=100")
    node = values
    *parents, last = key.strip().split(".")
    for parent in parents:
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
            raise ConfigError(f"--set {override}: {parent!r} is a value in {path}, not a table; name another key")
    try:
        node[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        node[last] = text


def merge(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested `values` with the leaves of `changes` put in their places."""
    merged = dict(values)
    for key, change in changes.items():
        old = merged.get(key)
        merged[key] = merge(old, change) if isinstance(old, Mapping) and isinstance(change, Mapping) else change
    return merged


def validate(model: type[T], values: Mapping[str, Any], path: str) -> T:
    """Build a model from what a file said.

    Raises:
        ConfigError: with one line for every problem: file, key, constraint, value.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            key = ".".join(str(part) for part in problem["loc"]) or "(top level)"
            shown = f" (given: {repr(problem['input'])[:80]})" if not isinstance(problem["input"], dict) else ""
            message = problem["msg"].removeprefix("Value error, ")
            if problem["type"] == "extra_forbidden":
                message = "there is no such key; mend its name, remove it, or install the newer version that has it"
            lines.append(f"{path}: {key}: {message}{shown}")
        raise ConfigError("\n".join(lines)) from None
