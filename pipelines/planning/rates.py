"""What a byte of text takes in every stage, as benchmarks/stage_rates.py measured it.

In: the benchmark's JSON, a list of figures with `subject` (`deduplicate: speed`, `extract warc: raw`), `value` and
`unit`. Out: `Rates`. Nothing here is assumed; what is, stands in assumptions.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from pipelines.store.errors import GlamError
from pipelines.store.files import read_bytes

BENCHMARK = "stage_rates"
_KINDS = ("speed", "start", "kept", "sent", "raw")
_READER = "extract "
_REMEDY = "make it with: python benchmarks/stage_rates.py --json > FILE"


@dataclass(frozen=True)
class Rate:
    """What one stage, or one reader, takes.

    Attributes:
        speed: bytes of text a CPU second.
        start: CPU seconds of a build, whatever its size.
        kept: bytes in the store a byte of text.
        sent: bytes between workers a byte of text.
        raw: bytes of input files, compressed as they are, a byte of text; 0 for what is not a reader.
    """

    speed: float
    start: float = 0.0
    kept: float = 0.0
    sent: float = 0.0
    raw: float = 0.0


@dataclass(frozen=True)
class Rates:
    """Rates by stage, and by reader for extraction; `path` is where they were read."""

    stages: dict[str, Rate]
    readers: dict[str, Rate]
    path: str = ""

    def stage(self, name: str) -> Rate:
        """Return the rate of a stage.

        Raises:
            GlamError: when it was not measured.
        """
        if name not in self.stages:
            raise GlamError(f"{self.path}: has no figures of the stage {name}; {_REMEDY}")
        return self.stages[name]

    def reader(self, name: str) -> Rate:
        """Return the rate of a reader; of one that was not measured, the slowest measured one's."""
        slowest = min(self.readers.values(), key=lambda rate: rate.speed)
        return self.readers.get(name, slowest)


def read_rates(path: str) -> Rates:
    """Read a benchmark's JSON.

    Raises:
        GlamError: when the file is no such list, or lacks what a plan needs.
    """
    found: dict[str, dict[str, float]] = {}
    try:
        for figure in json.loads(read_bytes(path).splitlines()[-1]):
            subject, _, kind = figure["subject"].rpartition(": ")
            if figure["benchmark"] == BENCHMARK and kind in _KINDS:
                factor = 1e6 if kind == "speed" else 1.0
                found.setdefault(subject, {})[kind] = factor * float(figure["value"])
        rates = {subject: Rate(**values) for subject, values in found.items()}
    except OSError as error:
        raise GlamError(f"{path}: cannot be read ({error.strerror}); {_REMEDY}") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise GlamError(f"{path}: not the figures of a benchmark ({error!r}); {_REMEDY}") from error
    if any(rate.speed <= 0 for rate in rates.values()):
        raise GlamError(f"{path}: a speed is not above 0; {_REMEDY}")
    readers = {name.removeprefix(_READER): rate for name, rate in rates.items() if name.startswith(_READER)}
    stages = {name: rate for name, rate in rates.items() if not name.startswith(_READER)}
    if not readers or not stages:
        raise GlamError(f"{path}: has no figures of {BENCHMARK}; {_REMEDY}")
    return Rates(stages, readers, path)
