"""`glam sample` and `glam export`: documents of a version to read, all of them for other programs, and its cards."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glam.options import DEFAULT_STORE, JsonOption, StoreOption, show
from pipelines.store.errors import GlamError

if TYPE_CHECKING:
    from pipelines.store.versions import Version

SNIPPET_CHARACTERS = 300


class Card(StrEnum):
    """The cards there are."""

    croissant = "croissant"
    readme = "readme"


class Form(StrEnum):
    """The formats of an export."""

    parquet = "parquet"
    jsonl = "jsonl"


def sample(
    reference: Annotated[str, typer.Argument(metavar="ID", help="Id of a version, a unique prefix of it, or a name.")],
    component: Annotated[str | None, typer.Option("--component", help="Only of this component.")] = None,
    count: Annotated[int, typer.Option("-n", min=1, help="How many documents.")] = 20,
    heldout: Annotated[bool, typer.Option("--heldout", help="Of the held-out documents instead.")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed shows others.")] = 0,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Show some of the documents that a version trains on, drawn by a keyed hash; with --json the whole texts.

    Example: glam sample filtered --component web -n 20 --store store
    """
    documents = sampled(reference, component, count, heldout, seed, store)
    if as_json:
        show(documents)
        return
    for document in documents["documents"]:
        score = "" if document["quality_score"] is None else f"  score {document['quality_score']:.4f}"
        name = document["url"] or document["native_key"] or document["title"] or ""
        print(f"{document['id']}  {document['source']}  {document['tokens']:,} tokens{score}  {name}".rstrip())
        text = " ".join(document["text"].split())
        print(f"  {text[:SNIPPET_CHARACTERS]}{'…' if len(text) > SNIPPET_CHARACTERS else ''}")


def sampled(reference: str, component: str | None, count: int, heldout: bool, seed: int, store: str) -> dict[str, Any]:
    """Return what `glam sample --json` prints."""
    from pipelines.kept_documents import SPLITS, KeptDocuments
    from pipelines.lookup import VersionDocuments
    from pipelines.store.versions import find_version

    version = find_version(store, reference)
    if component is not None and component not in version.components:
        raise GlamError(f"--component {component}: version {version.name} has {', '.join(sorted(version.components))}")
    kept = KeptDocuments(VersionDocuments(store, version))
    documents = kept.sample(count, component, SPLITS["heldout" if heldout else "train"], seed)
    return {"version": version.id, "documents": documents}


def export(
    reference: Annotated[str, typer.Argument(metavar="ID", help="Id of a version, a unique prefix of it, or a name.")],
    card: Annotated[Card | None, typer.Option("--card", help="Print a card of the version.")] = None,
    form: Annotated[Form | None, typer.Option("--format", help="Write the kept documents, texts and verdicts.")] = None,
    out: Annotated[str | None, typer.Option("--out", help="With --format, a new folder; with --card, a file.")] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Export a version: a Croissant card, a README for the Hugging Face hub, or all its documents with both cards.

    Example: glam export filtered --format parquet --out filtered-documents --store store
    """
    from pipelines.store.files import write_bytes
    from pipelines.store.versions import find_version

    if (card is None) == (form is None):
        raise GlamError("give --card croissant or readme, or --format parquet or jsonl with --out FOLDER")
    version = find_version(store, reference)
    if form is not None:
        answer = export_documents(version, store, form.value, out)
        if as_json:
            show(answer)
        else:
            print(
                f"{out}: {answer['files']:,} files, {answer['documents']['train']:,} documents that are trained on, "
                f"{answer['documents']['heldout']:,} held out; {answer['bytes']:,} bytes"
            )
        return
    text = _card(version, str(card))
    if out is None:
        print(text, end="")
    else:
        write_bytes(out, text.encode())
        print(out)


def _card(version: Version, card: str) -> str:
    from pipelines.cards import croissant, readme

    return readme(version) if card == Card.readme else json.dumps(croissant(version), indent=1) + "\n"


def export_documents(version: Version, store: str, form: str, out: str | None) -> dict[str, Any]:
    """Write a version's documents and its cards, and return what `glam export --format … --json` prints.

    Raises:
        GlamError: when the folder is missing or has something in it.
    """
    from pipelines.cards import CROISSANT_FILE, README_FILE, croissant, readme
    from pipelines.kept_documents import SPLITS, KeptDocuments
    from pipelines.kept_documents import export as write_all
    from pipelines.lookup import VersionDocuments
    from pipelines.progress import Sum, TerminalDisplay
    from pipelines.store.files import join, sizes_under, write_bytes, write_json

    if out is None:
        raise GlamError(f"--format {form}: give --out FOLDER, a new or empty folder to write to")
    if sizes_under(out):
        raise GlamError(f"--out {out}: there are files in it; give a new or empty folder")
    kept = KeptDocuments(VersionDocuments(store, version))
    trained, held = version.components.values(), version.heldout.values()
    total = sum(part.documents for part in trained) + sum(part.documents for part in held)
    display = TerminalDisplay()
    display.start("export", total, "documents")
    files = write_all(kept, out, form, Sum(display))
    display.finish()
    write_bytes(join(out, README_FILE), readme(version, form, files).encode())
    write_json(join(out, CROISSANT_FILE), croissant(version, form, files))
    return {
        "version": version.id,
        "path": out,
        "files": len(files),
        "documents": {split: sum(file.rows for file in files if file.split == split) for split in SPLITS},
        "bytes": sum(file.digest.size for file in files),
    }
