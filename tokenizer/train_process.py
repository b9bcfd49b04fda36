"""Train a tokenizer in a process of its own, so that SentencePiece's log tells how far it is.

In: texts and settings, by a folder of temporary files. Out: the model; the share done, as it goes. Run by
`train_with_progress` as `python -m tokenizer.train_process FOLDER`.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from tokenizer.settings import TokenizerSettings
from tokenizer.train import train_tokenizer

Progress = Callable[[float], None]
"""Called now and then with the share of the training that is done, 0 to 1."""

REFUSED = 2
"""Exit status when the texts or settings are refused; error.txt says why."""

_SEEDING_SHARE = 0.2
_SIZE = re.compile(rb"EM sub_iter=\d+ size=(\d+)")
_SURPLUS = 1.1  # SentencePiece prunes down to this many times the vocabulary, then takes the best


def train_with_progress(texts: Iterable[str], settings: TokenizerSettings, progress: Progress) -> bytes:
    """Do what `train_tokenizer` does, and tell how far it is (of unigram models; BPE logs nothing on its way).

    Raises:
        ValueError: as `train_tokenizer`.
        RuntimeError: when the process fails; the message ends with what it said.
    """
    root = str(Path(__file__).resolve().parent.parent)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
    with tempfile.TemporaryDirectory(prefix="tokenizer-") as folder:
        with Path(folder, "texts.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(text) + "\n" for text in texts)
        Path(folder, "settings.json").write_text(settings.model_dump_json(), encoding="utf-8")
        command = [sys.executable, "-m", "tokenizer.train_process", folder]
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment) as process:
            said = _follow(process, settings, progress)
        if process.returncode == REFUSED:
            raise ValueError(Path(folder, "error.txt").read_text(encoding="utf-8"))
        if process.returncode:
            raise RuntimeError(f"tokenizer training ended with exit status {process.returncode}: {said}")
        return Path(folder, "tokenizer.model").read_bytes()


def _follow(process: subprocess.Popen[bytes], settings: TokenizerSettings, progress: Progress) -> str:
    """Read the log to its end; return its last lines."""
    assert process.stderr is not None
    largest, last = 0, [b""]
    try:
        for line in process.stderr:
            last = [*last[-9:], line]
            if match := _SIZE.search(line):
                size = int(match[1])
                largest = max(largest, size)
                progress(share_done(size, largest, settings))
    except BaseException:
        process.kill()
        raise
    return b"".join(last).decode(errors="replace").strip()


def share_done(size: int, largest: int, settings: TokenizerSettings) -> float:
    """Return the share that is done when a unigram training has pruned its pieces from `largest` to `size`."""
    goal = _SURPLUS * settings.vocabulary_size
    if largest <= goal:
        return 1.0
    pruned = math.log(largest / max(size, goal)) / math.log(largest / goal)
    return _SEEDING_SHARE + (1 - _SEEDING_SHARE) * pruned


def main(folder: str) -> None:
    """Train on FOLDER/texts.jsonl; write FOLDER/tokenizer.model, or FOLDER/error.txt."""
    settings = TokenizerSettings.model_validate_json(Path(folder, "settings.json").read_text(encoding="utf-8"))
    with Path(folder, "texts.jsonl").open(encoding="utf-8") as file:
        try:
            model = train_tokenizer((json.loads(line) for line in file), settings, log=True)
        except ValueError as error:
            Path(folder, "error.txt").write_text(str(error), encoding="utf-8")
            sys.exit(REFUSED)
    Path(folder, "tokenizer.model").write_bytes(model)


if __name__ == "__main__":
    main(sys.argv[1])
