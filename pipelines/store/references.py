"""What names the versions of a store: its runs and studies. What cannot be read names nothing, and is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipelines.store.files import StoreError, exists, join, list_folders, read_json

OnDamaged = Callable[[str, Exception], object]


@dataclass(frozen=True)
class Reference:
    """A run or a study, and the ids of the versions it names.

    Attributes:
        kind: `run` or `study`.
        url: its folder.
        versions: ids.
        facts: what its JSON file says.
    """

    kind: str
    url: str
    versions: tuple[str, ...]
    facts: dict[str, Any]


def references(store_url: str, on_damaged: OnDamaged | None = None) -> list[Reference]:
    """Return the runs and studies of a store, in order of kind and folder.

    Args:
        store_url: the store.
        on_damaged: called with the url of each file that is not that of a run or study, and what is wrong with it.
    """
    found = []
    for kind, folder, file in (("run", "runs", "run.json"), ("study", "studies", "study.json")):
        base = join(store_url, folder)
        for url in (join(base, name) for name in list_folders(base)):
            if not exists(path := join(url, file)):
                continue
            try:
                facts = read_json(path)
                ids = [facts["version"]["id"]] if kind == "run" else list(facts["versions"].values())
                found.append(Reference(kind, url, tuple(map(str, ids)), facts))
            except (AttributeError, KeyError, OSError, StoreError, TypeError) as error:
                if on_damaged is not None:
                    on_damaged(path, error)
    return found
