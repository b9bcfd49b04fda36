"""What the scenarios share: a row of the table, undisturbed builds to compare with, and how bytes are compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.store.files import digest_file
from tests.faults.corpus import FULL, PLAIN, write_corpus
from tests.faults.processes import Run, glam

Bytes = dict[str, tuple[str, dict[str, str]]]
"""Of each version by name: its id, and the sha256 of every file by path."""


class Unexpected(AssertionError):
    """A fault did not end as it should."""


class NotHere(Exception):
    """A fault cannot be made on this machine; the message says why."""


@dataclass(frozen=True)
class Row:
    """What a fault did.

    Attributes:
        fault: its name.
        injected: what was done.
        happened: what became of it, and what was counted.
        exit_code: of the first command after the fault.
        message: what that command told, from its error on; what it told at all where there was none.
        same_bytes: whether the resumed build gave the bytes of an undisturbed one: version ids, every file's sha256.
    """

    fault: str
    injected: str
    happened: str
    exit_code: int
    message: str
    same_bytes: bool


Scenario = Callable[["Workplace"], Row]


def require(condition: object, otherwise: str) -> None:
    """Raise `Unexpected` where a condition does not hold."""
    if not condition:
        raise Unexpected(otherwise)


def require_told(run: Run, exit_code: int, *patterns: str) -> None:
    """Require an exit code, and a message without a stack trace that has all of these in it."""
    require(run.exit_code == exit_code, f"exit code {run.exit_code}, not {exit_code}: {run.stderr}")
    require("Traceback" not in run.stderr, f"a stack trace: {run.stderr}")
    for pattern in patterns:
        require(re.search(pattern, run.stderr, re.DOTALL), f"nothing like {pattern!r} in: {run.stderr}")


def bytes_of(run: Run) -> Bytes:
    """Hash every file of the versions that a build made, as they lie on the disk."""
    require(run.exit_code == 0 and run.answer is not None, f"the build failed: {run.stderr}")
    assert run.answer is not None
    made = {}
    for name, path in run.answer["paths"].items():
        folder = Path(path)
        # What a kill left under a temporary name, which begins with a dot, is no file of the version.
        files = sorted(file for file in folder.rglob("[!.]*") if file.is_file() and file.name != "manifest.json")
        hashes = {str(file.relative_to(folder)): digest_file(str(file)).sha256 for file in files}
        made[name] = (run.answer["versions"][name], hashes)
    return made


@dataclass
class Corpus:
    """A sound corpus, its configuration and its undisturbed build."""

    config: Path
    store: Path

    @cached_property
    def undisturbed(self) -> Bytes:
        """The bytes of a build that nothing happened to."""
        return bytes_of(build(self.config, self.store))


@dataclass
class Workplace:
    """A folder with sound corpora; every scenario has a folder of its own in it."""

    folder: Path
    _groups: dict[str, Mapping[str, Row | Unexpected] | Exception] = field(default_factory=dict)

    @cached_property
    def full(self) -> Corpus:
        """A corpus that goes through every stage."""
        return Corpus(write_corpus(self.folder / "full", FULL), self.folder / "full-store")

    @cached_property
    def plain(self) -> Corpus:
        """A corpus without classifier and evaluation sets."""
        return Corpus(write_corpus(self.folder / "plain", PLAIN), self.folder / "plain-store")

    def room(self, name: str) -> Path:
        """Return a new folder."""
        made = self.folder / re.sub(r"\W+", "-", name)
        made.mkdir()
        return made

    def group(self, name: str, make: Callable[[Workplace], Mapping[str, Row | Unexpected]], fault: str) -> Row:
        """Return the row of one of the faults that are made together, at the first call."""
        if name not in self._groups:
            try:
                self._groups[name] = make(self)
            except (Unexpected, NotHere, TimeoutError) as error:
                self._groups[name] = error
        made = self._groups[name]
        row = made if isinstance(made, Exception) else made[fault]
        if isinstance(row, Exception):
            raise row
        return row


def build(config: Path, store: Path, settings: Sequence[str] = (), **more: Any) -> Run:
    """Run `glam build --json`."""
    overrides = [part for setting in settings for part in ("--set", setting)]
    return glam("build", config, "--store", store, "--json", *overrides, **more)
