"""`glam diff`: what two dataset versions differ in, down to the documents."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from glam.options import DEFAULT_STORE, JsonOption, StoreOption, show


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="Id of a version, a unique prefix of it, or a name.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The version to compare it with.")],
    store: StoreOption = DEFAULT_STORE,
    other_store: Annotated[str | None, typer.Option("--other-store", help="The store of B, if it is another.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what two versions differ in: configuration, and documents and tokens gained and lost by source and reason.

    A document that B lost has B's verdict on it as the reason; `absent` where B extracted no such document.

    Example: glam diff unfiltered filtered --store store
    """
    from glam.version_tables import difference_table

    answer = compare(a, b, store, other_store or store)
    if as_json:
        show(answer)
    else:
        difference_table(answer)


def compare(a: str, b: str, store: str, other_store: str) -> dict[str, Any]:
    """Return what `glam diff --json` prints."""
    from pipelines.difference import Difference
    from pipelines.lookup import VersionDocuments
    from pipelines.progress import TerminalDisplay
    from pipelines.store.versions import find_version

    sides = [VersionDocuments(url, find_version(url, name)) for url, name in ((store, a), (other_store, b))]
    display = TerminalDisplay()
    display.start("compare", len(set(sides[0].sources) | set(sides[1].sources)), "sources")
    answer = Difference(*sides).to_json(display.move)
    display.finish()
    return answer
