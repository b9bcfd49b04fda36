"""`glam models`: the sizes that a configuration can name, counted and beside what was published."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from glam.options import JsonOption, show
from pipelines.store.configuration import ConfigError


def models(
    names: Annotated[list[str] | None, typer.Argument(help="Names of sizes; all of them if none is given.")] = None,
    sequence_length: Annotated[
        int, typer.Option("--sequence-length", min=1, help="Of the sequences whose FLOPs are counted.")
    ] = 1024,
    as_json: JsonOption = False,
) -> None:
    """Print model sizes: parameters, active parameters, FLOPs a token, and how far from the published figures.

    A training configuration takes one with `size` under [model]; every other key there changes it.

    Example: glam models 64B/64E 137B
    """
    from trainer.family import FAMILY

    unknown = sorted(set(names or ()) - set(FAMILY))
    if unknown:
        raise ConfigError(f"{', '.join(unknown)}: no such size; there are: {', '.join(FAMILY)}")
    found = [_describe(name, sequence_length) for name in names or FAMILY]
    if as_json:
        show({"models": found, "sequence_length": sequence_length})
    else:
        _table(found, sequence_length)


def _describe(name: str, sequence_length: int) -> dict[str, Any]:
    from trainer.accounting import cost
    from trainer.config import ModelSettings
    from trainer.family import FAMILY

    size = FAMILY[name]
    counted = cost(ModelSettings.model_validate({"size": name}), size.vocabulary, sequence_length)
    return {
        "name": name,
        "source": size.source,
        "vocabulary": size.vocabulary,
        "parameters": counted.parameters,
        "active": counted.active,
        "forward_flops": counted.forward_flops,
        "published": {"parameters": size.parameters, "active": size.active},
        "remark": size.remark,
        "settings": size.settings,
    }


def _table(found: list[dict[str, Any]], sequence_length: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Model sizes; FLOPs of the forward pass of a token at {sequence_length} tokens a sequence")
    table.add_column("size", no_wrap=True)
    table.add_column("source")
    for column in ("vocabulary", "parameters", "active", "GFLOPs a token", "published", "published active"):
        table.add_column(column, justify="right")
    table.add_column("remark")
    for entry in found:
        published = entry["published"]
        table.add_row(
            entry["name"],
            entry["source"],
            f"{entry['vocabulary']:,}",
            f"{entry['parameters']:,}",
            f"{entry['active']:,}",
            f"{entry['forward_flops'] / 1e9:,.4g}",
            _beside(published["parameters"], entry["parameters"]),
            _beside(published["active"], entry["active"]),
            entry["remark"],
        )
    Console().print(table)


def _beside(published: float | None, counted: int) -> str:
    """Return a published figure and by how much ours is larger or smaller."""
    if published is None:
        return ""
    return f"{published / 1e9:g}B ({100 * (counted / published - 1):+.1f} %)"
