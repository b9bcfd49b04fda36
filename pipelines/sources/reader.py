"""What all readers share: typed options, opening a file, and turning texts into a `Record`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import IO, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.sources.decompression import Damage
from pipelines.sources.errors import SourceError
from pipelines.sources.record import Outcome, Quarantined, Record, Skipped, Text, Used
from pipelines.sources.scanner import Scanner
from pipelines.store.files import is_local, open_read
from pipelines.text import normalize_text, normalize_title

TOO_LARGE = "too_large"
NO_TEXT = "no_text"
FALLBACK_ENCODING = "fallback_encoding"
"""Note: a text that is not UTF-8 was decoded in another encoding."""


class ReaderOptions(BaseModel):
    """Options of every reader.

    Attributes:
        max_record_bytes: a larger record (decompressed) is skipped as `too_large`, without being held in memory.
        min_characters: a shorter text is none; a record of which none is left is skipped as `no_text`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_record_bytes: int = Field(16 << 20, ge=1)
    min_characters: int = Field(1, ge=1)


class Reader(ABC):
    """Reads the files of one source.

    A reader holds nothing but its options, so that it can be sent to a worker; heavy libraries are imported where
    they are used.

    Example:
        >>> for record in READERS["jsonl"]({"text_field": "body"}).read("gs://bucket/posts.jsonl.gz"):
        ...     match record.outcome:
        ...         case Used(texts): ...
        ...         case Skipped(reason): ...
        ...         case Quarantined(reason, detail): ...
    """

    Options: ClassVar[type[ReaderOptions]] = ReaderOptions
    path_options: ClassVar[frozenset[str]] = frozenset()
    """Options that name files: their content decides bytes, their names do not."""

    def __init__(self, options: Mapping[str, Any] | ReaderOptions | None = None) -> None:
        given = options.model_dump(exclude_unset=True) if isinstance(options, ReaderOptions) else options
        self.options: Any = self._validate(given or {})

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options that decide what is read, defaults filled in, without those that name files.

        Raises:
            ValueError: when an option is unknown or refused; the message names it and the constraint.
        """
        return cls._validate(options).model_dump(mode="json", exclude=set(cls.path_options))

    @classmethod
    def option_files(cls, options: Mapping[str, Any]) -> list[str]:
        """Return the patterns (for `locate`) of the files that options name: inputs as much as the source's own."""
        values = cls._validate(options).model_dump()
        return [values[name] for name in sorted(cls.path_options) if values[name] is not None]

    def name_facts(self, _url: str) -> str:
        """Return what the reader takes from a file's name or folder: it decides bytes as much as the content does."""
        return ""

    @classmethod
    def _validate(cls, options: Mapping[str, Any]) -> ReaderOptions:
        try:
            return cls.Options.model_validate(dict(options))
        except ValidationError as error:
            raise ValueError("; ".join(_explain(cls, problem) for problem in error.errors())) from None

    def read(self, url: str) -> Iterator[Record]:
        """Yield the records of a file, in its order.

        Raises:
            SourceError: when the file is missing or cannot be read. A damaged file is read as far as it goes.
        """
        try:
            if is_local(url) and url.endswith("/"):
                raise IsADirectoryError(21, "is a directory")
            with open_read(url) as file:
                yield from self._records(file, url)
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
            raise SourceError(f"{url}: cannot be read ({reason}); mend the path or the permissions") from error

    @abstractmethod
    def _records(self, file: IO[bytes], _url: str) -> Iterator[Record]:
        """Yield the records of an open file."""

    def _record(
        self, offset: int, raw_bytes: int, texts: Iterable[Text], native_key: str = "", notes: tuple[str, ...] = ()
    ) -> Record:
        """Normalize a record's texts; it is used if one is left."""
        kept = tuple(text for text in map(_normalized, texts) if len(text.text) >= self.options.min_characters)
        outcome: Outcome = Used(kept, notes) if kept else Skipped(NO_TEXT)
        return Record(offset, raw_bytes, outcome, native_key)


def damaged(offset: int, raw_bytes: int, damage: Damage) -> Record:
    """Return the record that damage cut, or the unknown number of records that it took."""
    return Record(offset, raw_bytes, Quarantined(damage.reason, damage.detail, damage.rest_is_lost))


def read_whole(scanner: Scanner, limit: int) -> bytes | Record:
    """Read a file or archive member that is one record; return that record where it is damaged or above `limit`."""
    offset = scanner.offset
    data = scanner.read(limit + 1)
    if len(data) > limit:
        passed = len(data)
        while step := scanner.skip(1 << 20):
            passed += step
        return Record(offset, passed, Skipped(TOO_LARGE))
    damage = scanner.take_damage()
    return damaged(offset, len(data), damage) if damage else data


def _normalized(text: Text) -> Text:
    return replace(text, text=normalize_text(text.text), title=normalize_title(text.title))


def _explain(reader: type[Reader], problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"]) or "options"
    if problem["type"] == "extra_forbidden":
        return f"option {key!r} is unknown; there are: {', '.join(sorted(reader.Options.model_fields))}"
    return f"option {key!r}: {problem['msg'].removeprefix('Value error, ')} (given: {problem['input']!r:.80})"
