"""Tables of studies for people, on stderr: the plan, the bill, the verdicts, the cost at equal scores."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from glam.printing import console as _console
from glam.printing import new_table as _table
from glam.printing import print_note as _print
from glam.tables import say

FACTORS = ("factor", "factor_low", "factor_high")


def plan_table(plan: Mapping[str, Any], store: str) -> None:
    """Print what a study would do and cost."""
    table = _table(
        f"Study {plan['study']} (store {store})",
        ("arm", "version", "parameters", "active", "steps", "tokens", "PFLOPs"),
        2,
    )
    for arm in plan["arms"]:
        sizes = (f"{arm[name]:,}" for name in ("parameters", "active", "steps", "tokens"))
        table.add_row(arm["name"], arm["version"], *sizes, f"{arm['flops'] / 1e15:,.3f}")
    _print(table)
    for arm in plan["arms"]:
        if known := {name: epochs for name, epochs in arm["epochs"].items() if epochs is not None}:
            say(f"{arm['name']} reads, in epochs: {', '.join(f'{name} {value:g}' for name, value in known.items())}")
    for entry in plan["comparisons"]:
        say(f"{entry['a']} and {entry['b']} may differ in {', '.join(entry['differ'])} and in nothing else")
    for saving in plan["savings"]:
        say(f"cost of {', '.join(saving['saver'])} where they score as {', '.join(saving['reference'])}")
    if plan["chips"]:
        say(f"On {plan['chips']:,} chips all runs, one after the other, take {plan['days']:,} days.")
    _console(sys.stderr, 80).print(
        f"{plan['runs']} runs over seeds {', '.join(map(str, plan['seeds']))}{_searched(plan)}: "
        f"{plan['tokens']:,} tokens, {plan['flops'] / 1e15:,.3f} PFLOPs. Smallest difference that "
        f"they tell with a power of 0.8, if seeds vary by {plan['seed_deviation']:g}: {plan['detectable_effect']:g} "
        "bits per byte."
    )


def _searched(plan: Mapping[str, Any]) -> str:
    searched = f" and {plan['search_runs']} of the search" if plan["search_runs"] else ""
    return searched + (f" and {plan['fine_tunings']} fine-tunings" if plan["fine_tunings"] else "")


def bill_table(study: Mapping[str, Any]) -> None:
    """Print what training and evaluation cost, by arm."""
    table = _table("Runs", ("arm", "runs", "tokens", "train CPU s", "evaluate CPU s", "PFLOPs"), 1)
    for arm in study["arms"]:
        runs = arm["runs"]
        evaluation = [run["evaluation"] or {"cpu_seconds": 0.0, "flops": 0} for run in runs]
        table.add_row(
            arm["name"],
            str(len(runs)),
            f"{sum(run['tokens'] for run in runs):,}",
            f"{sum(run['cpu_seconds'] for run in runs):.1f}",
            f"{sum(part['cpu_seconds'] for part in evaluation):.1f}",
            f"{(sum(run['flops'] for run in runs) + sum(part['flops'] for part in evaluation)) / 1e15:.3f}",
        )
    _print(table)


def verdict_table(study: Mapping[str, Any]) -> None:
    """Print the differences by domain with their intervals, and the verdicts."""
    for comparison in study["comparisons"]:
        a, b = comparison["a"], comparison["b"]
        title = f"{a} minus {b}, bits per byte (below zero: {a} better)"
        columns = ("domain", "difference", "low", "high", "verdict")
        table = _table(title, columns, 1)
        table.columns[-1].justify = "left"
        table.columns[-1].no_wrap = False
        for result in comparison["results"]:
            figures = (_signed(result[name]) for name in ("difference", "low", "high"))
            table.add_row(result["domain"], *figures, result["verdict"])
        _print(table)


def fine_tuning_table(study: Mapping[str, Any]) -> None:
    """Print the accuracies of arms before and after fine-tuning, and what may be said of their differences."""
    tuning = study.get("fine_tuning")
    if tuning is None:
        return
    table = _table(
        "Accuracy of what was held out of fine-tuning", ("arm", "task", "before", "after", "gain", "low", "high"), 2
    )
    for row in tuning["arms"]:
        gain = row["gain"]
        scores = (f"{row[stage]['score']:.1f}" for stage in ("before", "after"))
        ends = ("-" if gain[name] is None else f"{gain[name]:+.1f}" for name in ("score", "low", "high"))
        table.add_row(row["arm"], row["task"], *scores, *ends)
    _print(table)
    for comparison in tuning["comparisons"]:
        for result in comparison["results"]:
            what = f"{comparison['a']} against {comparison['b']}, {result['task']}, {result['stage']}"
            say(f"{what}: {result['verdict']}")


def saving_table(study: Mapping[str, Any]) -> None:
    """Print at which cost the savers score as the arms of the reference do, and the factors."""
    for saving in study["savings"]:
        title = f"Cost of {', '.join(saving['saver'])} at equal scores"
        columns = ("domain", "cost in", "scores as", "cost", "saver's cost", "factor", "low", "high", "outcome")
        table = _table(title, columns, 3)
        for result in saving["results"]:
            for match in result["matches"]:
                costs = (_amount(match[name]) for name in ("cost", "at"))
                factors = ("-" if match[f] is None else f"{match[f]:.2f}" for f in FACTORS)
                table.add_row(result["domain"], result["axis"], match["arm"], *costs, *factors, match["outcome"])
        _print(table)


def _amount(cost: float | None) -> str:
    return "-" if cost is None else f"{cost:.4g}"


def _signed(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:+.4f}"
