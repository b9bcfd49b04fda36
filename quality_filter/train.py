"""Train the quality classifier: examples in, a `LinearClassifier` out, the same for the same examples and settings.

fastText is repeatable with one thread, a fixed seed and memory that begins as zeros: with one thread version 0.9.3
initializes only a tenth of its input matrix and takes the rest as malloc gives it. So it runs in a process of its own
where malloc takes large blocks fresh from the system (MALLOC_MMAP_THRESHOLD_, read by glibc).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from quality_filter import train_process
from quality_filter.classifier import LinearClassifier
from quality_filter.collapse import NEGATIVE_LABEL, POSITIVE_LABEL
from quality_filter.examples import Example, LengthBucket, Order, balance, choose_examples, match_lengths
from quality_filter.features import normalize
from quality_filter.settings import QualitySettings

Progress = Callable[[float], None]
"""Called now and then with the share of the training that is done, 0 to 1."""

_POLL_SECONDS = 0.25
_ERROR_CHARACTERS = 2000


def train_classifier(
    examples: Iterable[Example],
    settings: QualitySettings,
    order: Order,
    *,
    progress: Progress | None = None,
    fasttext_model: Path | None = None,
) -> LinearClassifier:
    """Train on the examples left under the caps, balanced; write fastText's own model to `fasttext_model` if given.

    The order of `examples` does not matter; `order` is the keyed hash of purpose `classifier`.

    Raises:
        ValueError: when a class is empty or an example comes twice.
        RuntimeError: when the training process fails; the message ends with what it said.
    """
    chosen = choose_examples(examples, settings, order)
    matched, lengths = match_lengths(chosen, order) if settings.match_lengths else (chosen, [])
    if not any(not example.positive for example in matched):
        raise ValueError("no negative example is as long as a positive one; set match_lengths = false or add negatives")
    lines = balance(matched, order)
    with tempfile.TemporaryDirectory(prefix="quality-") as folder:
        text, classifier, job = (Path(folder) / name for name in ("examples.txt", "classifier.bin", "job.json"))
        with text.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(fasttext_line(example) for example in lines)
        description = {
            "examples": str(text),
            "classifier": str(classifier),
            "fasttext_model": None if fasttext_model is None else str(fasttext_model.resolve()),
            "settings": settings.model_dump(),
            "training": _describe(chosen, lengths, len(lines), settings),
        }
        job.write_text(json.dumps(description), encoding="utf-8")
        _run(job, text, settings.epochs, progress)
        return LinearClassifier.from_bytes(classifier.read_bytes(), "the trained classifier")


def fasttext_line(example: Example) -> str:
    """Return the example as a line of fastText's training file."""
    return f"{POSITIVE_LABEL if example.positive else NEGATIVE_LABEL} {normalize(example.text)}\n"


def _describe(
    chosen: list[Example], lengths: list[LengthBucket], lines: int, settings: QualitySettings
) -> dict[str, object]:
    counts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for example in chosen:
        counts[example.positive][example.source] += 1
    return {
        "settings": settings.model_dump(),
        "positives": dict(sorted(counts[True].items())),
        "negatives": dict(sorted(counts[False].items())),
        "lengths": [row._asdict() for row in lengths],
        "lines": lines,
    }


def _run(job: Path, text: Path, epochs: int, progress: Progress | None) -> None:
    command = [sys.executable, "-m", train_process.__name__, str(job)]
    with (job.parent / "log.txt").open("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(command, env=_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _wait(process, text, epochs, progress)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode != 0:
            log.seek(0)
            said = log.read()[-_ERROR_CHARACTERS:].strip()
            raise RuntimeError(f"classifier training ended with exit status {process.returncode}: {said}")


def _environment() -> dict[str, str]:
    root = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH")) if part)
    return os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "PYTHONPATH": path}


def _wait(process: subprocess.Popen[bytes], text: Path, epochs: int, progress: Progress | None) -> None:
    """Wait for the end. fastText reads its file once for the vocabulary and once an epoch: its place tells how far."""
    size, passes, last = text.stat().st_size, 0, 0
    while True:
        try:
            process.wait(None if progress is None else _POLL_SECONDS)
            return
        except subprocess.TimeoutExpired:
            position = _read_position(process.pid, text)
        if progress is not None and position is not None:
            passes += position < last
            last = position
            progress(min(1.0, (passes + position / size) / (epochs + 1)))


def _read_position(pid: int, path: Path) -> int | None:
    """Return how far a process is in a file it has open, or None where the system does not tell."""
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            if descriptor.readlink() == path:
                first_line = Path(f"/proc/{pid}/fdinfo/{descriptor.name}").read_text().splitlines()[0]
                return int(first_line.removeprefix("pos:"))
    except (OSError, ValueError, IndexError):
        return None
    return None
