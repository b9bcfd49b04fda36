"""`glam gc`: list what of a store nothing refers to, and delete it if that is wanted."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from glam.options import DEFAULT_STORE, JsonOption, StoreOption, show


def gc(
    delete: Annotated[bool, typer.Option("--delete", help="Delete what is listed.")] = False,
    superseded: Annotated[
        bool,
        typer.Option(
            "--superseded", help="Also versions that newer ones of the same names replaced and no run or study names."
        ),
    ] = False,
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", help="Id of a version to keep, a unique prefix of it, or a name (its newest version)."),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """List what nothing in a store refers to, with its bytes; --delete deletes it.

    Kept are all versions, runs and studies, and every stage a version was made from. --superseded lists old versions
    too; runs outside the store are not seen: name their versions with --keep. While a build runs nothing is deleted.

    Example: glam gc --store store
    """
    from glam.version_tables import garbage_table

    answer = collect_garbage(store, delete, superseded, keep or [])
    if as_json:
        show(answer)
    else:
        garbage_table(answer)


def collect_garbage(store: str, wanted: bool, superseded: bool, keep: list[str]) -> dict[str, Any]:
    """Return what `glam gc --json` prints, after deleting what it lists if that is `wanted`."""
    from contextlib import nullcontext

    from pipelines.store.garbage import delete, find_garbage, freed_bytes
    from pipelines.store.leases import lease
    from pipelines.store.presence import require_store

    require_store(store)  # before a lease makes one of it
    with lease(store, "clean") if wanted else nullcontext():
        garbage = find_garbage(store, superseded, keep)
        freed = freed_bytes(store, garbage)
        if wanted:
            delete(store, garbage)
    items = [{"path": g.path, "kind": g.kind, "reason": g.reason, "bytes": g.bytes} for g in garbage]
    return {"deleted": wanted, "freed": freed, "garbage": items}
