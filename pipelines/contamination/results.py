"""What is known of the contamination of a dataset version: the table by task, and flags by example.

In: a version of a store. Out: figures and tables of its stage `tabulate`. An evaluation prints these beside its scores:

    contamination = VersionContamination(store_url, version)
    dirty = contamination.by_record("lambada")           # {(file, line): whether it is}
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from pipelines.documents import ID_TYPE, read_table
from pipelines.store.errors import GlamError
from pipelines.store.files import join
from pipelines.store.stages import FinishedStage, read_manifest
from pipelines.store.versions import Version

SHOWN = 3
"""Documents that are named for an example; all are counted."""

TASK_SCHEMA = pa.schema(
    [
        ("example", pa.int32()),
        ("words", pa.int32()),
        ("n", pa.int32()),
        ("dirty", pa.bool_()),
        ("documents", pa.int64()),
        ("found", pa.int64()),
        ("position", pa.int32()),
        (
            "shown",
            pa.list_(
                pa.struct(
                    [
                        ("id", ID_TYPE),
                        ("source", pa.string()),
                        ("address", pa.string()),
                        ("position", pa.int32()),
                        ("start", pa.int64()),
                        ("end", pa.int64()),
                    ]
                )
            ),
        ),
    ]
)


class ContaminationError(GlamError):
    """Nothing is known of a version's contamination, or of a task's; the message says what to do."""


def task_path(task: str) -> str:
    """Return the path of a task's table in the stage `tabulate`."""
    return f"contamination/{task}.parquet"


class VersionContamination:
    """The contamination of one version.

    Args:
        store_url: the store.
        version: one of its versions.

    Raises:
        ContaminationError: when the version was not compared with evaluation sets.
    """

    def __init__(self, store_url: str, version: Version) -> None:
        self._name = version.name
        stages = {stage.split("/")[0]: stage for stage in version.manifest["stages"]}
        if "tabulate" not in stages:
            raise ContaminationError(
                f"version {version.name}: its documents were not compared with evaluation sets; build it again with "
                "[decontaminate] in the configuration and --set decontaminate.folder=DIR"
            )
        self._table, self._ngrams, self._decisions = (
            _stage(store_url, stages[name]) for name in ("tabulate", "evaluation_ngrams", "decontaminate")
        )

    @property
    def settings(self) -> dict[str, Any]:
        """The rule: n, what was removed, and the n-grams that were ignored."""
        recipe = self._decisions.manifest["recipe"]
        return {"n": self._ngrams.manifest["recipe"]["n"]} | {
            name: recipe[name] for name in ("remove", "ignore_frequent")
        }

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """{task: {n, examples, without_words, dirty, found, documents}}; a task without data has no examples."""
        return dict(self._table.summary["tasks"])

    def flags(self, task: str) -> pa.Table:
        """Return a task's examples (TASK_SCHEMA), in order of the lines of its files.

        Raises:
            ContaminationError: when there is no such task.
        """
        if task not in self.tasks:
            raise ContaminationError(f"{task}: no such task; version {self._name} has {', '.join(sorted(self.tasks))}")
        return read_table(join(self._table.url, task_path(task)))

    def by_record(self, task: str) -> dict[tuple[str, int], bool]:
        """Return whether each example is dirty, by the name of its file and its line there."""
        examples, dirty = self.examples(task), self.flags(task)["dirty"].to_pylist()
        return dict(zip(zip(*(examples[key].to_pylist() for key in ("file", "line")), strict=True), dirty, strict=True))

    def places(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """Return {task, example (from 0 in the task), file, line} of rows of `examples.parquet`, in their order."""
        table = read_table(join(self._ngrams.url, "examples.parquet"), ["task", "example", "file", "line"])
        return table.take(pa.array(rows, pa.int64())).to_pylist()

    def examples(self, task: str) -> pa.Table:
        """Return the lines and texts of a task's examples, in the same order."""
        first = next(entry["first"] for entry in self._ngrams.summary["tasks"] if entry["task"] == task)
        table = read_table(join(self._ngrams.url, "examples.parquet"), ["file", "line", "text"])
        return table.slice(first, self.tasks[task]["examples"])


def _stage(store_url: str, name: str) -> FinishedStage:
    url = join(store_url, "stages", name)
    return FinishedStage(url, read_manifest(url, "stage"))
