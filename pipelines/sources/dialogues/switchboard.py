"""Switchboard: transcribed telephone conversations with dialogue acts, one record a conversation.

In: text files, plain, compressed or in a zip archive, of lines `speaker|utterance|dialogue act` (the Switchboard
Dialogue Act Corpus, Jurafsky et al. 1997, as line-based editions give it). Out: one text a conversation (`turns.py`);
consecutive utterances of a speaker are one turn. Native key: the conversation's number, which is its file's name in an
archive; the name of a plain file decides nothing.

What transcribers added is removed: notes from an asterisk to the end of the utterance, sounds in angle brackets
(`<laughter>`), and the marks of the disfluency annotation, of which the words stay: `{F uh, }`, `[ I, + I ]`,
`(( unclear ))`, `#`, and slashes at an utterance's end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import PurePosixPath
from typing import IO

from pipelines.sources.archive import contents, other_members
from pipelines.sources.dialogues.turns import spoken
from pipelines.sources.reader import Reader, ReaderOptions, read_whole
from pipelines.sources.record import Quarantined, Record, Text

_ADDED = re.compile(r"\*.*$|<[^<>]*>|\{[A-Z]\b|[{}\[\]+#]|\(\(|\)\)|-?/\s*$")
_BLANKS_BEFORE_SIGN = re.compile(r"\s+(?=[,.?!])")


class SwitchboardOptions(ReaderOptions):
    """Options of Switchboard.

    Attributes:
        members: of a zip archive, the names that are read (a shell pattern); the others are skipped as `other_member`.
    """

    members: str = "*.txt"


class SwitchboardReader(Reader):
    """Reads conversations; one with a line of another form is quarantined."""

    Options = SwitchboardOptions

    def _records(self, file: IO[bytes], _url: str) -> Iterator[Record]:
        yield from other_members(file, self.options.members)
        for content in contents(file, self.options.members, as_text=True):
            data = read_whole(content.scanner, self.options.max_record_bytes)
            if isinstance(data, Record):
                yield Record(content.base + data.offset, data.raw_bytes, data.outcome)
            else:
                yield self._conversation(content.base, data, PurePosixPath(content.name).stem)

    def _conversation(self, offset: int, data: bytes, number: str) -> Record:
        try:
            utterances = [_utterance(*line) for line in enumerate(data.decode("utf-8-sig").splitlines(), start=1)]
        except UnicodeDecodeError as error:
            return Record(offset, len(data), Quarantined("bad_encoding", str(error)), number)
        except ValueError as error:
            return Record(offset, len(data), Quarantined("bad_fields", str(error)), number)
        return self._record(offset, len(data), [Text("\n".join(_turns(utterances)))], native_key=number)


def _utterance(number: int, line: str) -> tuple[str, str]:
    """Return the speaker of a line and what is left of the utterance without what transcribers added."""
    if not line.strip():
        return "", ""
    parts = line.split("|")
    if len(parts) < 3 or not parts[0].strip():
        raise ValueError(f"line {number} is not speaker|utterance|dialogue act")
    cleaned = _ADDED.sub(" ", "|".join(parts[1:-1]))
    return parts[0].strip(), _BLANKS_BEFORE_SIGN.sub("", cleaned).strip()


def _turns(utterances: Iterable[tuple[str, str]]) -> Iterator[str]:
    said = (utterance for utterance in utterances if utterance[1])
    for speaker, group in groupby(said, key=lambda utterance: utterance[0]):
        yield spoken(speaker, " ".join(text for _, text in group))
