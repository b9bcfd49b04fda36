"""Settings of decontamination: evaluation sets, the length of n-grams, and what is removed. Imports neither Beam nor
numpy.

The rules are those of Brown et al. 2020, "Language Models are Few-Shot Learners" (GPT-3), appendix C.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from pipelines.store.configuration import Settings, load_settings

GPT3_LEAST, GPT3_MOST = 8, 13
FOLDER = "{folder}"

TaskName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
FieldPath = Annotated[str, Field(pattern=r"^[^.]*(\.[^.]+)*$")]


class EvaluationSet(Settings):
    """One evaluation set in its native format, plain or compressed; a record is an example.

    Attributes:
        files: paths or globs; `{folder}` stands for `decontaminate.folder`. The name tells the format: `.json`, `.csv`,
            `.tsv`, else JSON lines.
        records: path of the records in `.json` files, e.g. `data.*`.
        demonstrations: files of the same format from which few-shot demonstrations are drawn; they are compared with
            nothing.
        fields: what of an example is its text, in this order: `question`, `passage.text`, `choices.*` (every element of
            a list).
    """

    files: list[str] = Field(min_length=1)
    records: FieldPath = "*"
    demonstrations: list[str] = Field(default_factory=list)
    fields: list[FieldPath] = Field(min_length=1)


class EvaluationSets(Settings):
    """A file of evaluation sets; `folder` stands for `{folder}` where nothing else does."""

    folder: str | None = None
    sets: dict[TaskName, EvaluationSet] = Field(min_length=1)


class DecontaminateSettings(Settings):
    """What training documents are compared with, and what becomes of those that overlap.

    Attributes:
        folder: stands for `{folder}` in the sets' files.
        sets_file: a TOML file of sets, beside the configuration; `sets` adds to it or replaces some of it.
        sets: evaluation sets by task.
        n: words of an n-gram, or `gpt3`: for each task the 5th percentile of its examples' lengths in words, at least 8
            and at most 13. An example of fewer words is one n-gram.
        ignore_frequent: n-grams in more training documents than this count as none (GPT-3: 10); None: all count.
        remove: `nothing` (report only), whole `documents` that match, or `spans` around the matches.
        window_characters: cut out on either side of a match with `spans`.
        piece_characters: a piece left over by the cuts is dropped if it has fewer.
        max_pieces: a document cut into more pieces is dropped whole.
    """

    folder: str | None = None
    sets_file: str | None = None
    sets: dict[TaskName, EvaluationSet] = Field(default_factory=dict)
    n: Annotated[int, Field(ge=1, le=64)] | Literal["gpt3"] = GPT3_MOST
    ignore_frequent: int | None = Field(None, ge=1)
    remove: Literal["nothing", "documents", "spans"] = "nothing"
    window_characters: int = Field(200, ge=0)
    piece_characters: int = Field(200, ge=1)
    max_pieces: int = Field(10, ge=1)

    def with_sets_file(self, config_path: str) -> DecontaminateSettings:
        """Return these settings with the sets of `sets_file`, which is found from the configuration's folder.

        Raises:
            ConfigError: when that file is refused.
        """
        if self.sets_file is None:
            return self
        path = Path(config_path).parent / Path(self.sets_file).expanduser()
        listed = load_settings(EvaluationSets, str(path))
        folder = self.folder or listed.folder
        return self.model_copy(update={"sets_file": None, "folder": folder, "sets": listed.sets | self.sets})

    def recipe(self) -> dict[str, Any]:
        """Return what decides which documents are trained on, and with which text."""
        recipe: dict[str, Any] = {"n": self.n, "ignore_frequent": self.ignore_frequent, "remove": self.remove}
        if self.remove == "spans":
            names = ("window_characters", "piece_characters", "max_pieces")
            recipe |= {name: getattr(self, name) for name in names}
        return recipe
