"""Dialogues of chatterbot-corpus: one record for every so many consecutive dialogues of a YAML file.

In: `{"conversations": [[turn, answer, …], …]}`. Out: the turns of a dialogue as lines, dialogues divided by an empty
line. The format names no speakers, so the lines have none; no native key.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import IO, Any

from pydantic import Field

from pipelines.sources.decompression import decompressed
from pipelines.sources.dialogues.turns import one_line
from pipelines.sources.reader import Reader, ReaderOptions, read_whole
from pipelines.sources.record import Quarantined, Record, Text
from pipelines.sources.scanner import Scanner


class ChatterbotOptions(ReaderOptions):
    """Options of chatterbot-corpus.

    Attributes:
        entries_per_document: so many consecutive dialogues of a file are one record.
    """

    entries_per_document: int = Field(1, ge=1)


class ChatterbotReader(Reader):
    """Reads dialogues; a file that is not of its format is one quarantined record."""

    Options = ChatterbotOptions

    def _records(self, file: IO[bytes], _url: str) -> Iterator[Record]:
        content = read_whole(Scanner(decompressed(file)), self.options.max_record_bytes)
        if isinstance(content, Record):
            yield content
        else:
            yield from self._file(content)

    def _file(self, content: bytes) -> Iterator[Record]:
        import yaml

        try:
            text = content.decode("utf-8")
            dialogues = _conversations(yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
        except UnicodeDecodeError as error:
            yield Record(0, len(content), Quarantined("bad_encoding", str(error)))
            return
        except (yaml.YAMLError, RecursionError) as error:
            yield Record(0, len(content), Quarantined("bad_yaml", str(error)))
            return
        if dialogues is None:
            yield Record(0, len(content), Quarantined("bad_fields", "the file has no list of `conversations`"))
            return
        waiting = iter(dialogues)
        while group := list(islice(waiting, self.options.entries_per_document)):
            yield self._group(text, group)

    def _group(self, text: str, group: list[Any]) -> Record:
        """Make a record of consecutive dialogues."""
        start, end = group[0].start_mark.index, group[-1].end_mark.index
        offset, raw_bytes = len(text[:start].encode()), len(text[start:end].encode())
        joined = "\n\n".join("\n".join(_turns(dialogue)) for dialogue in group)
        return self._record(offset, raw_bytes, [Text(joined)])


def _conversations(root: Any) -> list[Any] | None:
    """Return the nodes of the dialogues, or None if the document has another form."""
    if root is None or root.id != "mapping":
        return None
    for key, value in root.value:
        if key.value == "conversations" and value.id == "sequence":
            return list(value.value)
    return None


def _turns(dialogue: Any) -> list[str]:
    """Return the turns of a dialogue as they are written: a turn `Yes` is no truth value here."""
    if dialogue.id == "sequence":
        return [one_line(turn.value) for turn in dialogue.value if turn.id == "scalar" and turn.value.strip()]
    return [one_line(dialogue.value)] if dialogue.id == "scalar" else []
