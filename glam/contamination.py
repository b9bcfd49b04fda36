"""`glam contamination`: which examples of the evaluation sets stand in what a version trains on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from glam.options import DEFAULT_STORE, JsonOption, StoreOption, show

if TYPE_CHECKING:
    from pipelines.contamination.results import VersionContamination


def contamination(
    reference: Annotated[str, typer.Argument(metavar="ID", help="Id of a version, a unique prefix of it, or a name.")],
    task: Annotated[str | None, typer.Option("--task", help="Show dirty examples of this task.")] = None,
    examples: Annotated[int, typer.Option("--examples", min=1, help="How many of them.")] = 5,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Tabulate clean and dirty examples of each task: dirty ones share an n-gram with a document of the version.

    With --task it shows dirty examples, what they share, and the document it stands in. Exits with 1 when the version
    was not compared with evaluation sets.

    Example: glam contamination filtered --store store --task lambada --examples 3
    """
    from glam.tables import contamination_table
    from pipelines.contamination.results import VersionContamination
    from pipelines.store.versions import find_version

    version = find_version(store, reference)
    found = VersionContamination(store, version)
    answer: dict[str, Any] = {"version": version.id, "name": version.name, **found.settings}
    answer["tasks"] = {name: _figures(figures) for name, figures in found.tasks.items()}
    if task is not None:
        answer["shown"] = dirty_examples(found, task, examples)
    if as_json:
        show(answer)
    elif task is None:
        contamination_table(answer)
    else:
        _print_examples(task, answer)


def _figures(figures: dict[str, int]) -> dict[str, Any]:
    """Return a task's figures with what follows from them; shares are null where there are no examples."""
    share = round(figures["dirty"] / figures["examples"], 6) if figures["examples"] else None
    return figures | {"clean": figures["examples"] - figures["dirty"], "dirty_share": share}


def dirty_examples(found: VersionContamination, task: str, most: int) -> list[dict[str, Any]]:
    """Return the first dirty examples of a task, with what each shares with the documents that are named for it."""
    rows = [row for row in found.flags(task).to_pylist() if row["dirty"]][:most]
    examples = found.examples(task)
    texts = [example for row in rows for example in examples.slice(row["example"], 1).to_pylist()]
    return [_described(row, example) for row, example in zip(rows, texts, strict=True)]


def _described(row: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    from pipelines.contamination.words import to_characters, words_of

    words, text = words_of(example["text"]), example["text"]
    matches = []
    for shown in row["shown"]:
        first, last = shown["position"], shown["position"] + row["n"] - 1
        start, end = to_characters(text, np.array([words.starts[first], words.ends[last]])).tolist()
        place = {name: shown[name] for name in ("source", "address", "start", "end")}
        matches.append({"document": shown["id"].hex(), **place, "shared": " ".join(text[start:end].split())})
    facts = {name: row[name] for name in ("example", "words", "n", "documents")}
    return facts | {"file": example["file"], "line": example["line"], "text": text, "matches": matches}


def _print_examples(task: str, answer: dict[str, Any]) -> None:
    figures = answer["tasks"][task]
    print(f"{task}: {figures['dirty']:,} of {figures['examples']:,} examples are dirty in {answer['name']}")
    for example in answer["shown"]:
        print(f"{example['file']} line {example['line']}: in {example['documents']:,} documents")
        for match in example["matches"]:
            print(f"  “{match['shared']}”")
            print(f"    {match['document']}  {match['source']}  {match['address'] or ''}".rstrip())
