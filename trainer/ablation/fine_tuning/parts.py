"""The two parts of a task: what runs are fine-tuned on, and what they are scored on and never trained on.

In: the examples of a task. Out: prompts and answers as JSON lines, and the set of the held examples. Examples that
belong together (the questions of one passage) are on one side; which, a keyed hash of what stands in them decides, so
that the parts are the same in whatever files and order the examples come. Importing this module does not import JAX.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipelines.store.errors import GlamError
from pipelines.store.files import exists, join, write_bytes
from pipelines.store.hashing import KeyedHash, canonical_json
from trainer.evaluation.evaluate import Set, open_set
from trainer.evaluation.examples import Example
from trainer.evaluation.task import Catalogue

PURPOSE = "fine-tuning-part"
FOLDER = "fine_tuning"
"""Of the store: the prompts and answers of every part that was trained on."""


@dataclass(frozen=True)
class Parts:
    """A task in two parts.

    Attributes:
        lines: of the training part: a JSON object with `prompt` and `answer` an example.
        examples: of the training part.
        held: the set of the others.
    """

    lines: bytes
    examples: int
    held: Set

    @property
    def digest(self) -> str:
        """The sha256 (hex) of the lines."""
        return hashlib.sha256(self.lines).hexdigest()

    @property
    def held_digest(self) -> str:
        """The sha256 (hex) of what is scored, and in which order."""
        return hashlib.sha256(_content(self.held.examples)).hexdigest()

    def write(self, store_url: str) -> str:
        """Write the lines into a store, unless they are there, and return where."""
        path = join(store_url, FOLDER, f"{self.held.name}-{self.digest[:32]}.jsonl")
        if not exists(path):
            write_bytes(path, self.lines)
        return path


def open_parts(name: str, catalogue: Catalogue, folder: str | None, train_share: float) -> Parts:
    """Read a task and part it.

    Raises:
        GlamError: when there are no examples, or a part has none.
    """
    one = open_set(name, catalogue, folder)
    if not one.examples:
        patterns = ", ".join(catalogue.sets[one.task.set].files)
        raise GlamError(
            f"fine_tuning.tasks: {name}: no examples ({patterns} in {folder}); give the folder that has them: "
            "--set fine_tuning.data=DIR, or GLAM_EVAL"
        )
    return part(one, train_share)


def part(one: Set, train_share: float) -> Parts:
    """Part the examples of a set.

    Raises:
        GlamError: when a part has none.
    """
    groups: dict[str, list[Example]] = {}
    for example in one.examples:
        groups.setdefault(one.reader.together(example), []).append(example)
    together = list(groups.values())
    keys = KeyedHash(0, PURPOSE).many(_content(examples) for examples in together)
    keyed = list(zip(keys, together, strict=True))
    below = int(train_share * 2**64)
    train = [examples for key, examples in sorted(keyed, key=lambda pair: pair[0]) if key < below]
    held = {example.number for key, examples in keyed if key >= below for example in examples}
    if not train or not held:
        raise GlamError(
            f"fine_tuning: {one.name}: of {len(one.examples)} examples {len(one.examples) - len(held)} are for "
            "training and the others to be scored; change fine_tuning.train_share or take a larger set"
        )
    lines = [_line(one, example) for examples in train for example in examples]
    kept = tuple(example for example in one.examples if example.number in held)
    return Parts(b"".join(lines), len(lines), replace(one, examples=kept))


def _content(examples: Sequence[Example]) -> bytes:
    return canonical_json([example.values for example in examples])


def _line(one: Set, example: Example) -> bytes:
    """Return a prompt and its right answer, as the task asks and expects them."""
    question = one.reader.question(example)
    right = question.gold[0]
    pair = {"prompt": question.contexts[right], "answer": question.continuations[right]}
    return json.dumps(pair, ensure_ascii=False).encode() + b"\n"
