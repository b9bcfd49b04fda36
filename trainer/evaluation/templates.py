"""Templates and expressions of tasks: Jinja in its sandbox, where a name that is none of the task's is an error.

Beside Jinja's own there are the filters `sub(pattern, text)`, a regular expression's substitution; `spans(text)`, the
texts of [{start, end}, …] with the end included, as ReCoRD writes them; `places(options)`, the numbers of the options
that are among some texts; and `lower_first`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import StrictUndefined, TemplateError, Undefined, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pipelines.store.configuration import ConfigError

Values = Mapping[str, Any]


def _sub(text: str, pattern: str, replacement: str) -> str:
    return re.sub(pattern, replacement, text)


def _spans(places: Iterable[Mapping[str, int]], text: str) -> list[str]:
    return [text[place["start"] : place["end"] + 1] for place in places]


def _places(texts: Iterable[str], options: Sequence[str]) -> list[int]:
    wanted = set(texts)
    return [number for number, option in enumerate(options) if option in wanted]


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.filters |= {"sub": _sub, "spans": _spans, "places": _places, "lower_first": _lower_first}
    return environment


@dataclass(frozen=True)
class Compiled:
    """A compiled template or expression: a function of values, and the names that it uses."""

    evaluate: Callable[[Values], Any]
    uses: frozenset[str]

    def __call__(self, values: Values) -> Any:
        """Return what it gives."""
        return self.evaluate(values)


def template(source: str, place: str, names: Iterable[str]) -> Compiled:
    """Compile a template, which gives a text.

    Args:
        source: of the template.
        place: key of the configuration, for errors.
        names: that it may use.

    Raises:
        ConfigError: when it is no template, or uses another name.
    """
    uses = _require_names(source, place, names)
    return Compiled(_environment().from_string(source).render, uses)


def expression(source: str, place: str, names: Iterable[str]) -> Compiled:
    """Compile an expression, which gives any value; as `template`."""
    uses = _require_names("{{ " + source + " }}", place, names)
    compiled = _environment().compile_expression(source, undefined_to_none=False)

    def evaluate(values: Values) -> Any:
        found = compiled(values)
        if isinstance(found, Undefined):
            raise ValueError(f"{source} has no value")
        return found

    return Compiled(evaluate, uses)


def _require_names(source: str, place: str, names: Iterable[str]) -> frozenset[str]:
    try:
        used = meta.find_undeclared_variables(_environment().parse(source))
        _environment().from_string(source)
    except TemplateError as error:
        raise ConfigError(f"{place}: {error}; mend the template") from error
    if unknown := sorted(used - set(names)):
        raise ConfigError(f"{place}: {', '.join(unknown)} is no field; there are {', '.join(sorted(names))}")
    return frozenset(used)
