"""Tables about dataset versions for people, on stdout: one version, the difference of two, what may be deleted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from glam.printing import new_table, print_answer

LONGEST = 60
"""Characters of a configured value that are printed."""


def version_table(answer: Mapping[str, Any]) -> None:
    """Print a dataset version."""
    print(f"{answer['name']}  {answer['id']}  ({answer['config']}, {answer['created'].replace('+00:00', 'Z')})")
    print(f"{answer['path']}: {answer['files']['number']:,} files, {answer['files']['bytes']:,} bytes")
    print(f"{answer['sequence_length']:,} tokens a sequence ({answer['token_dtype']} of {answer['vocabulary_size']:,})")
    _components(answer["components"])
    _heldout(answer["heldout"])
    _ledger(answer["ledger"])
    _licences(answer["licence_totals"])
    for kind in ("runs", "studies"):
        if answer[kind]:
            print(f"{kind} that name it: {', '.join(path.rsplit('/', 1)[-1][:12] for path in answer[kind])}")


def _components(components: Mapping[str, Any]) -> None:
    columns = ("component", "variant", "weight", "documents", "tokens", "records", "shards", "tokens cut")
    table = new_table("Components", columns, 2)
    for name, part in components.items():
        figures = (f"{part[figure]:,}" for figure in ("documents", "tokens", "records", "shards", "tokens_cut"))
        table.add_row(name, part["variant"], f"{part['weight']:.4g}", *figures)
    print_answer(table)


def _heldout(heldout: Mapping[str, Any]) -> None:
    table = new_table("Held out", ("source", "component", "kind", "documents", "tokens", "bytes"), 3)
    for name, part in heldout.items():
        kind = "out of domain" if part["out_of_domain"] else "in domain"
        table.add_row(name, part["component"], kind, *(f"{part[n]:,}" for n in ("documents", "tokens", "bytes")))
    print_answer(table)


def _ledger(ledger: Mapping[str, Any]) -> None:
    table = new_table("Documents", ("source", "extracted", "trained on", "dropped, by reason"), 1)
    table.columns[-1].justify, table.columns[-1].no_wrap = "left", False
    for name, entry in ledger.items():
        documents = entry["documents"]
        reasons = ", ".join(f"{reason} {number:,}" for reason, number in sorted(documents["dropped"].items()) if number)
        table.add_row(name, f"{documents['in']:,}", f"{documents['out']:,}", reasons)
    print_answer(table)


def _licences(totals: Mapping[str, Any]) -> None:
    table = new_table("Licences", ("licence", "documents", "held out", "tokens", "sources"), 1)
    table.columns[-1].justify = "left"
    for licence, total in totals.items():
        figures = (f"{total[figure]:,}" for figure in ("documents", "heldout", "tokens"))
        table.add_row(licence, *figures, ", ".join(total["sources"]))
    print_answer(table)


def garbage_table(answer: Mapping[str, Any]) -> None:
    """Print what nothing refers to, and what deleting it frees or freed."""
    table = new_table("", ("kind", "bytes", "path", "why"), 1)
    for column in table.columns[2:]:
        column.justify, column.no_wrap = "left", False
    for item in answer["garbage"]:
        table.add_row(item["kind"], f"{item['bytes']:,}", item["path"], item["reason"])
    if answer["garbage"]:
        print_answer(table)
    done = "deleted, freeing" if answer["deleted"] else "may be deleted (--delete), which frees"
    print(f"{len(answer['garbage']):,} items {done} {answer['freed']:,} bytes" if answer["garbage"] else "no garbage")


def difference_table(answer: Mapping[str, Any]) -> None:
    """Print what two versions differ in."""
    for side in ("a", "b"):
        version = answer[side]
        print(f"{side}: {version['name']}  {version['id']}  {version['tokens']:,} training tokens")
    if answer["same"]:
        print("the same version")
        return
    for change in answer["configuration"]:
        print(f"  {change['key']}: {_short(change['a'])} -> {_short(change['b'])}")
    table = new_table(
        "Trained on", ("source", "documents in a", "lost", "gained", "in b", "tokens in a", "lost", "gained", "in b"), 1
    )
    for name, totals in answer["sources"].items():
        sides = [totals[side] for side in ("a", "lost", "gained", "b")]
        table.add_row(name, *(f"{s['documents']:,}" for s in sides), *(f"{s['tokens']:,}" for s in sides))
    print_answer(table)
    for change in answer["changes"]:
        other = "in b it is" if change["change"] == "lost" else "in a it is"
        print(
            f"{change['change']} of {change['source']}, {other} {change['reason']}: "
            f"{change['documents']:,} documents, {change['tokens']:,} tokens"
        )
        for sample in change["samples"]:
            name = sample["url"] or sample["native_key"] or sample["title"] or ""
            print(f"  {sample['id']}  {sample['tokens']:>7,} tokens  {name}".rstrip())


def _short(value: Any) -> str:
    text = "(not there)" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
