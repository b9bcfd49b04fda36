"""Dialogues in JSON: an array of dialogues, or an object of them by id; one record a dialogue.

In: UTF-8, plain or compressed, `[{"id": …, "turns": [{"speaker": …, "text": …}, …]}, …]` under any field names; three
published formats have readers with their names filled in. Out: one text a dialogue (`turns.py`); native key = its id.

    Schema-Guided Dialogue   Rastogi et al. 2020, dialogues_*.json
    Taskmaster               Byrne et al. 2019; the files of TM-2 to TM-4
    Topical-Chat             Gopalakrishnan et al. 2019; an object whose keys are the ids
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from pipelines.sources.decompression import decompressed
from pipelines.sources.dialogues.turns import spoken
from pipelines.sources.json_items import Item, json_items
from pipelines.sources.reader import Reader, ReaderOptions
from pipelines.sources.record import Quarantined, Record, Text
from pipelines.sources.scanner import Scanner


class JsonDialoguesOptions(ReaderOptions):
    """Names of the fields; a dialogue that lacks one is quarantined.

    Attributes:
        id_field: of a dialogue; empty where dialogues are the values of an object, whose keys are the ids then.
        turns_field: of a dialogue, an array of objects.
        speaker_field: of a turn; empty where turns name none.
        text_field: of a turn.
    """

    id_field: str = "id"
    turns_field: str = "turns"
    speaker_field: str = "speaker"
    text_field: str = "text"


class JsonDialoguesReader(Reader):
    """Reads dialogues one by one, with the memory of one."""

    Options = JsonDialoguesOptions

    def _records(self, file: IO[bytes], _url: str) -> Iterator[Record]:
        items = json_items(Scanner(decompressed(file)), self.options.max_record_bytes, self.options.id_field)
        for item in items:
            yield item if isinstance(item, Record) else self._dialogue(item)

    def _dialogue(self, item: Item) -> Record:
        try:
            key = self._key(item)
            turns = _field(item.value, self.options.turns_field, list)
            lines = [self._line(number, turn) for number, turn in enumerate(turns, start=1)]
        except _FieldError as error:
            return Record(item.offset, item.raw_bytes, Quarantined("bad_fields", str(error)))
        text = Text("\n".join(line for line in lines if line))
        return self._record(item.offset, item.raw_bytes, [text], native_key=key)

    def _key(self, item: Item) -> str:
        if self.options.id_field:
            return str(_field(item.value, self.options.id_field, str | int))
        return item.key or ""

    def _line(self, number: int, turn: Any) -> str:
        try:
            speaker = _field(turn, self.options.speaker_field, str | int) if self.options.speaker_field else ""
            return spoken(str(speaker), _field(turn, self.options.text_field, str))
        except _FieldError as error:
            raise _FieldError(f"turn {number}: {error}") from None


class _FieldError(Exception):
    """A field is missing or of another type."""


def _field(value: Any, name: str, kind: Any) -> Any:
    if not isinstance(value, dict):
        raise _FieldError(f"not an object with {name!r}")
    found = value.get(name)
    if not isinstance(found, kind) or isinstance(found, bool):
        raise _FieldError(f"{name!r} is {type(found).__name__ if name in value else 'missing'}")
    return found


class SchemaGuidedOptions(JsonDialoguesOptions):
    """Field names of Schema-Guided Dialogue."""

    id_field: str = "dialogue_id"
    text_field: str = "utterance"


class SchemaGuidedReader(JsonDialoguesReader):
    """Reads Schema-Guided Dialogue; the speakers are USER and SYSTEM."""

    Options = SchemaGuidedOptions


class TaskmasterOptions(JsonDialoguesOptions):
    """Field names of Taskmaster."""

    id_field: str = "conversation_id"
    turns_field: str = "utterances"


class TaskmasterReader(JsonDialoguesReader):
    """Reads Taskmaster; the speakers are user and assistant."""

    Options = TaskmasterOptions


class TopicalChatOptions(JsonDialoguesOptions):
    """Field names of Topical-Chat."""

    id_field: str = ""
    turns_field: str = "content"
    speaker_field: str = "agent"
    text_field: str = "message"


class TopicalChatReader(JsonDialoguesReader):
    """Reads Topical-Chat; the speakers are agent_1 and agent_2."""

    Options = TopicalChatOptions
