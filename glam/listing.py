"""`glam list`: the dataset versions and studies of a store."""

from __future__ import annotations

import sys
from typing import Any

from pipelines.store.files import exists, join, list_folders, read_json
from pipelines.store.versions import list_versions


def describe_store(store: str) -> dict[str, Any]:
    """Return what `glam list --json` prints."""
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
    studies = []
    base = join(store, "studies")
    for name in list_folders(base):
        path = join(base, name, "study.json")
        if exists(path):
            study = read_json(path)
            entry = {"id": study["id"], "name": study["name"], "created": study["created"], "path": join(base, name)}
            studies.append(entry)
    return {"versions": versions, "studies": sorted(studies, key=lambda s: (s["created"], s["id"]))}
