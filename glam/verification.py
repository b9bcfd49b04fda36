"""`glam verify`: hash a dataset version again, with progress."""

from __future__ import annotations

import os
import sys
from typing import Any

from pipelines.progress import TerminalDisplay
from pipelines.store.versions import find_version, verify_version


def run_verification(reference: str, store: str) -> dict[str, Any]:
    """Verify a version and return what `glam verify --json` prints, and the version's folder."""
    version = find_version(store, reference)
    print(f"version {version.name} {version.id}", file=sys.stderr)
    display = TerminalDisplay()
    files = version.manifest["files"]
    display.start("verify", sum(entry["size"] for entry in files), "bytes")
    done = 0

    def on_file(size: int) -> None:
        nonlocal done
        done += size
        display.move(done)

    bad = verify_version(version, on_file, threads=os.cpu_count() or 1)
    display.finish()
    return {
        "id": version.id,
        "path": version.url,
        "ok": not bad,
        "files": len(files),
        "bad": [{"path": item.path, "reason": item.reason} for item in bad],
    }
