"""`glam evaluate --tasks domains`: language modelling in and out of domain, and the experts that serve it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glam.printing import new_table, print_note
from pipelines.progress import TerminalDisplay
from pipelines.store.versions import Version

if TYPE_CHECKING:
    from trainer.evaluation.task import Catalogue

SUITE = "out_of_domain"
"""Of the catalogue: texts that are read beside the held-out sources."""

BUSIEST = 3


def run_domains(
    run: str,
    store: str,
    version: Version,
    catalogue: Catalogue,
    data: str | None,
    stride: int | None,
    limit: int | None,
) -> dict[str, Any]:
    """Read held-out documents and the texts of the suite `out_of_domain`, print and return the figures."""
    from trainer.evaluation.evaluate import open_set
    from trainer.evaluation.evaluate_domains import domain_report

    display = TerminalDisplay()
    names = catalogue.suites[SUITE].tasks if SUITE in catalogue.suites else []
    sets = [open_set(name, catalogue, data, limit) for name in names] if data and Path(data).is_dir() else []
    found = [one for one in sets if one.examples]
    if absent := [name for name in names if name not in {one.name for one in found}]:
        display.say(f"{', '.join(absent)}: no data (--data)")
    report = domain_report(run, store, version, found, stride, limit, display)
    domain_table(report)
    expert_table(report)
    return report


def domain_table(report: Mapping[str, Any]) -> None:
    """Print bits and perplexities with intervals."""
    from trainer.ablation.report.domains import named_buckets

    columns = ("text", "documents", "bits/byte", "low", "high", "ppl/token", "low", "high", "ppl/word", "low", "high")
    table = new_table(f"Language modelling, windows of {report['context']} by {report['stride']}", columns, 1)
    for name, bucket in named_buckets(report):
        table.add_row(
            name,
            f"{bucket['documents']:,}",
            *_cells(bucket["bits_per_byte"], ".4f"),
            *_cells(bucket["token_perplexity"], ",.1f"),
            *_cells(bucket["word_perplexity"], ",.0f"),
        )
    print_note(table)
    ranges = (f"{name}: {low:.4f} to {high:.4f}" for name, (low, high) in report["scores"].items())
    if told := ", ".join(ranges):
        without = ", ".join(report["unscored"]) or "no component"
        TerminalDisplay().say(f"quality scores: {told}; not scored: {without}")


def _cells(figure: Mapping[str, Any], form: str) -> list[str]:
    return ["-" if figure[side] is None else format(figure[side], form) for side in ("score", "low", "high")]


def expert_table(report: Mapping[str, Any]) -> None:
    """Print what the routers did, by bucket and layer; nothing of a dense model."""
    from trainer.ablation.report.domains import named_buckets

    columns = (
        "text",
        "layer",
        "moved %",
        "dropped % by choice",
        "entropy",
        f"busiest {BUSIEST} experts, of an even share",
    )
    table = new_table("Experts", columns, 1)
    for name, bucket in named_buckets(report):
        for number, layer in enumerate(report["layers"]):
            routing = {key: values[number] for key, values in bucket["routing"].items() if values is not None}
            moved = f"{100 * routing['moved']:.1f}" if "moved" in routing else "-"
            dropped = " ".join(f"{100 * share:.2f}" for share in routing["dropped"])
            table.add_row(
                name, str(layer), moved, dropped, f"{routing['entropy']:.3f}", busiest(routing["load"], BUSIEST)
            )
    if table.rows:
        print_note(table)


def busiest(load: list[float], number: int) -> str:
    """Write the experts with the greatest loads, in units of an even share."""
    order = sorted(range(len(load)), key=lambda expert: -load[expert])[:number]
    return ", ".join(f"{expert}: {load[expert] * len(load):.2f}" for expert in order)
