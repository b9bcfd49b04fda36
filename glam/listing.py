"""`glam list` and `glam show`: the dataset versions and studies of a store, and one version in full."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from glam.options import DEFAULT_STORE, JsonOption, StoreOption, show

SHOWN = (
    "id", "name", "output_id", "sequence_length", "vocabulary_size", "token_dtype", "heldout", "ledger", "stages",
)  # fmt: skip
"""What `glam show` passes on from the manifest as it is."""


def list_store(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """List the dataset versions and studies of a store; one that is damaged is named, and the others are listed.

    Example: glam list --store store
    """
    from glam.tables import store_table

    answer = describe_store(store)
    if as_json:
        show(answer)
    else:
        store_table(answer)


def show_version(
    reference: Annotated[str, typer.Argument(metavar="ID", help="Id of a version, a unique prefix of it, or a name.")],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Show a dataset version: components, held-out sources, every document by step and reason, licences, files, and
    the runs and studies that name it.

    Example: glam show filtered --store store
    """
    from glam.version_tables import version_table

    answer = describe_version(reference, store)
    if as_json:
        show(answer)
    else:
        version_table(answer)


def describe_store(store: str) -> dict[str, Any]:
    """Return what `glam list --json` prints.

    Raises:
        StoreError: when there is no store.
    """
    from pipelines.store.presence import require_store
    from pipelines.store.references import references
    from pipelines.store.versions import list_versions

    require_store(store)
    versions = [
        {
            "id": version.id,
            "name": version.name,
            "config": version.manifest["side"]["config"],
            "created": version.manifest["side"]["created"],
            "tokens": sum(component.tokens for component in version.components.values()),
            "path": version.url,
        }
        for version in list_versions(store, lambda _, error: print(f"damaged: {error}", file=sys.stderr))
    ]
    studies = [
        {**{name: str(reference.facts.get(name, "")) for name in ("id", "name", "created")}, "path": reference.url}
        for reference in references(store, _tell_damaged)
        if reference.kind == "study"
    ]
    return {"versions": versions, "studies": sorted(studies, key=lambda s: (s["created"], s["id"]))}


def _tell_damaged(path: str, error: Exception) -> None:
    print(f"damaged: {path}: {error}", file=sys.stderr)


def describe_version(reference: str, store: str) -> dict[str, Any]:
    """Return what `glam show --json` prints."""
    from pipelines.store.references import references
    from pipelines.store.versions import find_version

    version = find_version(store, reference)
    manifest, side = version.manifest, version.manifest["side"]
    naming = [entry for entry in references(store, _tell_damaged) if version.id in entry.versions]
    files = manifest["files"]
    return {
        **{name: manifest[name] for name in SHOWN},
        "path": version.url,
        **{name: side.get(name) for name in ("config", "created", "names")},
        "components": {
            name: {**entry, "shards": len(entry["shards"])} for name, entry in manifest["components"].items()
        },
        "heldout": {name: {**entry, "shards": len(entry["shards"])} for name, entry in manifest["heldout"].items()},
        "licences": side.get("licences", {}),
        "licence_totals": side.get("licence_totals", {}),
        "files": {"number": len(files), "bytes": sum(entry["size"] for entry in files)},
        "runs": [entry.url for entry in naming if entry.kind == "run"],
        "studies": [entry.url for entry in naming if entry.kind == "study"],
    }
