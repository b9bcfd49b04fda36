"""`glam duplicates`: of what a document is a duplicate, how similar, and how the two texts differ."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glam.options import DEFAULT_STORE, JsonOption, StoreOption, show
from pipelines.store.errors import GlamError

if TYPE_CHECKING:
    from pipelines.lookup import Place, VersionDocuments

DROPPED_BEFORE = ("language", "too_short")
MEMBERS_SHOWN = 100
MEMBERS_PRINTED = 10
HUNKS_SHOWN = 12


def duplicates(
    reference: Annotated[str, typer.Argument(metavar="ID", help="Id of a version, a unique prefix of it, or a name.")],
    of: Annotated[str, typer.Option("--of", help="URL, native key, beginning of the id, or FILE:OFFSET.")],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Tell of what a document is a duplicate, how similar the two are, and how their texts differ.

    Of a document that stays it tells which ones were removed for it. Exits with 1 when there is no such document, or
    when it was dropped before duplicates were looked for.

    Example: glam duplicates filtered --of http://example.com/page.html --store store
    """
    answer = explain_duplicates(reference, of, store)
    if as_json:
        show(answer)
    else:
        for entry in answer["documents"]:
            _print_entry(entry, answer["select"])
    if all(entry["reason"] in DROPPED_BEFORE for entry in answer["documents"]):
        raise typer.Exit(1)


def explain_duplicates(reference: str, of: str, store: str) -> dict[str, Any]:
    """Return what `glam duplicates --json` prints.

    Raises:
        GlamError: when no document fits `of`.
    """
    from pipelines.lookup import VersionDocuments
    from pipelines.store.versions import find_version

    version = find_version(store, reference)
    documents = VersionDocuments(store, version)
    places = documents.find(of)
    if not places:
        raise GlamError(not_found(documents, of))
    stage = documents.decision_stage("deduplicate")
    return {
        "version": version.id,
        "of": of,
        "threshold": stage.manifest["recipe"]["threshold"],
        "select": stage.manifest["recipe"]["select"],
        "documents": [_entry(documents, place) for place in places],
    }


def not_found(documents: VersionDocuments, of: str) -> str:
    """Say that there is no such document, what comes near it, and what extraction left out."""
    if told := documents.tell_place(of):
        return f"{of}: {told}"
    like = " or ".join(documents.like(of))
    meant = f"; did you mean {like}?" if like else "."
    left_out: dict[str, int] = {}
    for source in documents.extraction.values():
        records = source["records"]
        for reason, number in {**records["skipped"], "quarantined": records["quarantined"]}.items():
            left_out[reason] = left_out.get(reason, 0) + number
    reasons = ", ".join(f"{name} {number:,}" for name, number in sorted(left_out.items()) if number)
    return (
        f"{of}: no document of version {documents.version.name} has this URL, native key or id{meant} "
        f"A record that extraction skips or quarantines makes no document (here: {reasons or 'none'}); "
        "`glam explain` tells of it, by its URL or FILE:OFFSET"
    )


def _entry(documents: VersionDocuments, place: Place) -> dict[str, Any]:
    """Return what there is to tell of one document."""
    (decision,) = documents.decisions("deduplicate", [place])
    (own,) = _described(documents, {place: decision})
    if decision["cluster"] is None:
        return {
            **own,
            "kept": None,
            "cluster": None,
            "cluster_size": 0,
            "cluster_stays": 0,
            "members": [],
            "diff": None,
        }
    places = documents.members(decision["cluster"])
    decided = dict(zip(places, documents.decisions("deduplicate", places), strict=True))
    others = sorted((p for p in places if p != place), key=lambda p: (-_closeness(decided[p]), p))
    kept = next(p for p in places if p.id == decision["representative"])
    return {
        **own,
        "kept": None if kept == place else _described(documents, {kept: decided[kept]})[0],
        "cluster": decision["cluster"].hex(),
        "cluster_size": len(places),
        "cluster_stays": decision["cluster_stays"],
        "members": _described(documents, {p: decided[p] for p in others[:MEMBERS_SHOWN]}),
        "diff": _diff(documents, place, kept) if decision["reason"] == "near_duplicate" else None,
    }


def _closeness(decision: Mapping[str, Any]) -> float:
    """Order the members of a cluster: those that stay, then the most similar to what stays for them."""
    return 2.0 if decision["reason"] is None else decision["jaccard"]


def _described(documents: VersionDocuments, decided: Mapping[Place, Mapping[str, Any]]) -> list[dict[str, Any]]:
    described = documents.documents(list(decided), ["url", "native_key", "title", "date", "language"])
    return [
        {
            "id": place.id.hex(),
            "source": place.source,
            **document,
            "reason": decision["reason"],
            "representative": decision["representative"] and decision["representative"].hex(),
            "jaccard": decision["jaccard"],
        }
        for (place, decision), document in zip(decided.items(), described, strict=True)
    ]


def _diff(documents: VersionDocuments, place: Place, kept: Place) -> dict[str, Any]:
    from glam.word_diff import word_diff

    first, second = (row["text"] for row in documents.documents([place, kept], ["text"]))
    return asdict(word_diff(first, second, most_hunks=HUNKS_SHOWN))


def _name(entry: Mapping[str, Any]) -> str:
    address = entry["url"] or entry["native_key"] or entry["title"] or ""
    return f"{entry['id']}  {entry['source']}  {address}".rstrip()


def _print_entry(entry: Mapping[str, Any], select: Mapping[str, Any]) -> None:
    """Print one document's answer on stdout."""
    from rich.console import Console

    # Lines of any length when the output goes into a file: a pipe has no width.
    console = Console(highlight=False, markup=False, soft_wrap=True, width=None if sys.stdout.isatty() else 10_000)
    console.print(_name(entry), style="bold")
    if entry["reason"] in DROPPED_BEFORE:
        console.print(f"  {_dropped_before(entry, select)}")
        return
    if entry["kept"] is None:
        removed = sum(member["representative"] == entry["id"] for member in entry["members"])
        console.print(f"  stays; removed for it: {removed}{'+' if entry['cluster_size'] > MEMBERS_SHOWN + 1 else ''}")
    else:
        console.print(f"  removed as {entry['reason']}: Jaccard {entry['jaccard']:.4f} with the one that stays:")
        console.print(f"  {_name(entry['kept'])}")
    _print_members(console, entry)
    if entry["diff"]:
        _print_diff(console, entry["diff"])


def _dropped_before(entry: Mapping[str, Any], select: Mapping[str, Any]) -> str:
    rule = {
        "language": f"its language {entry['language']!r} is not one of {', '.join(select['languages'])}",
        "too_short": f"it has fewer than {select['min_characters']} characters",
    }[entry["reason"]]
    return f"dropped before duplicates were looked for: {rule}"


def _print_members(console: Any, entry: Mapping[str, Any]) -> None:
    if entry["cluster_size"] < 2:
        return
    console.print(
        f"  cluster {entry['cluster']}: {entry['cluster_size']} documents, {entry['cluster_stays']} stay; the others:"
    )
    for member in entry["members"][:MEMBERS_PRINTED]:
        verdict = "stays" if member["reason"] is None else f"{member['reason']} {member['jaccard']:.4f}"
        console.print(f"    {verdict:22s}  {_name(member)}")
    further = entry["cluster_size"] - 1 - len(entry["members"][:MEMBERS_PRINTED])
    if further:
        console.print(f"    and {further:,} more; --json names up to {MEMBERS_SHOWN}")


def _print_diff(console: Any, diff: Mapping[str, Any]) -> None:
    """Print a difference word by word: [-only in the removed-] {+only in the one that stays+}."""
    from rich.text import Text

    console.print("  [-only in this one-] {+only in the one that stays+}")
    for hunk in diff["hunks"]:
        line = Text(f"    … {hunk['before']} ")
        if hunk["removed"]:
            line.append(f"[-{hunk['removed']}-]", "red")
        if hunk["added"]:
            line.append(f"{{+{hunk['added']}+}}", "green")
        line.append(f" {hunk['after']} …")
        console.print(line)
    if diff["further_hunks"]:
        console.print(f"    and {diff['further_hunks']:,} more places")
    if diff["words_not_compared"]:
        console.print(f"    the last {diff['words_not_compared']:,} words were not compared")
