"""`glam verify`: hash a dataset version again, several files at a time, with progress."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from glam.options import DEFAULT_STORE, JsonOption, StoreOption, show

QUICK_SHARE = 0.01


def verify(
    reference: Annotated[str, typer.Argument(metavar="ID", help="Id of a version, a unique prefix of it, or a name.")],
    quick: Annotated[
        bool, typer.Option("--quick", help="Look at the size of every file and hash a sample of 1 % of the bytes.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the sample that --quick hashes.")] = 0,
    stages: Annotated[bool, typer.Option("--stages", help="Also the documents and decisions behind it.")] = False,
    threads: Annotated[
        int, typer.Option("--threads", min=0, help="Files read at a time; 0: as many as there are cores.")
    ] = 0,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Hash every file of a dataset version again; exit with 1 and name the file if one is not what it was.

    Example: glam verify filtered --store store
    """
    answer = run_verification(reference, store, quick, seed, stages, threads or os.cpu_count() or 1)
    for bad in answer["bad"]:
        print(f"{bad['path']}: {bad['reason']}", file=sys.stderr)
    if answer["bad"]:
        print(f"delete {answer['path']} and build again; a damaged stage is named then", file=sys.stderr)
    if as_json:
        show({key: answer[key] for key in ("id", "ok", "files", "hashed", "bytes", "bad")})
    else:
        hashed = "" if answer["hashed"] == answer["files"] else f", {answer['hashed']:,} of them hashed"
        print(f"{answer['id']}: {answer['files']:,} files{hashed}, {'sound' if answer['ok'] else 'DAMAGED'}")
    if not answer["ok"]:
        raise typer.Exit(1)


def run_verification(reference: str, store: str, quick: bool, seed: int, stages: bool, threads: int) -> dict[str, Any]:
    """Verify a version and return what `glam verify --json` prints, and the version's folder."""
    from pipelines.progress import Sum, TerminalDisplay
    from pipelines.store.verification import (
        check_contents,
        check_ids,
        check_stages,
        differing_sizes,
        folders_of,
        sample_of,
    )
    from pipelines.store.versions import find_version

    version = find_version(store, reference)
    print(f"version {version.name} {version.id}", file=sys.stderr)
    folders = folders_of(version, store if stages else None)
    bad = check_ids(version) + (check_stages(version, store) if stages else [])
    chosen = folders
    if quick:
        bad += differing_sizes(folders)
        chosen = sample_of(folders, QUICK_SHARE, seed)
    total = sum(entry["size"] for folder in chosen for entry in folder.files)
    display = TerminalDisplay()
    display.start("verify", total, "bytes")
    known = {item.path for item in bad}
    bad += [item for item in check_contents(chosen, threads, Sum(display)) if item.path not in known]
    display.finish()
    return {
        "id": version.id,
        "path": version.url,
        "ok": not bad,
        "files": sum(len(folder.files) for folder in folders),
        "hashed": sum(len(folder.files) for folder in chosen),
        "bytes": total,
        "bad": [{"path": item.path, "reason": item.reason} for item in bad],
    }
