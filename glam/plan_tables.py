"""The tables of `glam plan`, on stdout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glam.printing import print_answer_rows
from pipelines.store.repetition import format_amount


def print_plan(answer: Mapping[str, Any]) -> None:
    """Print the plan of a corpus and a training."""
    _components(answer)
    _stages(answer["corpus"])
    _training(answer["training"], {name: assumed["value"] for name, assumed in answer["assumptions"].items()})
    rows = [(name, *_assumed(entry)) for name, entry in answer["assumptions"].items()]
    print_answer_rows("Assumptions (--assume NAME=VALUE)", ("name", "value", "meaning"), 3, rows)


def print_check(answer: Mapping[str, Any]) -> None:
    """Print predicted and measured CPU seconds."""
    rows = [(name, *_checked(entry)) for name, entry in answer["stages"].items()]
    rows.append(("all", *_checked(answer)))
    print_answer_rows(
        f"Prediction for version {answer['version']}", ("stage", "predicted CPU s", "measured", "error"), 1, rows
    )


def _checked(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    error = "" if entry["error"] is None else f"{100 * entry['error']:+.0f} %"
    return f"{entry['predicted']:.1f}", f"{entry['measured']:.1f}", error


def _components(answer: Mapping[str, Any]) -> None:
    rows = []
    for name, use in answer["mixture"].items():
        flow = answer["corpus"]["components"][name]
        short = format_amount(use["shortfall"]) if use["shortfall"] else ""
        sizes = (size(flow[key]) for key in ("raw", "extracted", "unique", "packed"))
        tokens = format_amount(flow["tokens"])
        rows.append((name, *sizes, tokens, f"{use['weight']:.2f}", f"{use['epochs']:.2f}", short, use["verdict"]))
    columns = ("component", "files", "text", "unique", "trained on", "tokens", "weight", "epochs", "missing", "verdict")
    print_answer_rows("Corpus", columns, 1, rows)


def _stages(corpus: Mapping[str, Any]) -> None:
    rows = [
        (name, f"{stage['cpu_hours']:,.0f}", size(stage["sent"]), size(stage["kept"]))
        for name, stage in corpus["stages"].items()
    ]
    print_answer_rows("Stages", ("stage", "CPU hours", "sent between workers", "kept in the store"), 1, rows)
    dollars = ", ".join(f"{part} {amount:,.0f}" for part, amount in corpus["dollars"].items())
    print(f"{corpus['cpu_hours']:,.0f} CPU hours: {corpus['hours']:,.1f} h of {corpus['workers']:,} workers")
    print(f"US dollars: {dollars} (storage: a month); in all {sum(corpus['dollars'].values()):,.0f}")


def _training(training: Mapping[str, Any], assumed: Mapping[str, float]) -> None:
    from trainer.long_training import PAPER, PAPER_CHIPS, PAPER_SERVING_GFLOPS, TrainingAssumptions, energy

    of_chip = f"{size(training['state_bytes_a_chip'])} of {size(training['chip_bytes'])}"
    rows = [
        ("parameters, active", f"{training['parameters']:,}, {training['active']:,}"),
        ("chips", f"{training['chips']:,} ({training['topology']})"),
        ("updates", f"{training['steps']:,} of {assumed['batch_tokens']:,} tokens"),
        ("floor of an update", f"{training['step_floor_seconds']:.2f} s at the chips' peak"),
        ("days", f"{training['days']:.1f} ({training['hours']:,.0f} h) at {100 * assumed['mfu']:.0f} % of the peak"),
        ("energy", f"{training['megawatt_hours']:,.0f} MWh"),
        ("memory of a chip, at least", f"{of_chip}: weights, gradients, optimizer"),
        ("serving", f"{size(training['serving_bytes'])}, {training['serving_gflops']:.0f} GFLOPs a token"),
    ]  # fmt: skip
    print_answer_rows(f"Training {training['model']} on {format_amount(training['tokens'])} tokens", ("", ""), 2, rows)
    defaults = TrainingAssumptions()
    for run in PAPER:
        told = f"{run.megawatt_hours:,.0f} MWh"
        if run.hours:
            reckoned = energy(PAPER_CHIPS, run.hours, defaults)
            told = (
                f"{PAPER_CHIPS:,} chips x {run.hours:,.0f} h x {defaults.chip_watts:g} W x {defaults.pue:g} = "
                f"{reckoned:,.0f} MWh ({told} printed)"
            )
        print(f"the paper, {format_amount(run.tokens)} tokens: {told}")
    serving = ", ".join(f"{name} {figure}" for name, figure in PAPER_SERVING_GFLOPS.items())
    print(f"the paper, GFLOPs a token in serving: {serving}")


def _assumed(entry: Mapping[str, Any]) -> tuple[str, str]:
    value = entry["value"]
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}", entry["meaning"]


def size(amount: float) -> str:
    """Return bytes with three digits and a decimal unit."""
    for limit, unit in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if amount >= limit:
            return f"{amount / limit:.3g} {unit}"
    return f"{amount:,.0f} B"
