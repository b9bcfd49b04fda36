"""What a training configuration means, as tables on stderr (`trainer.plan`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glam.printing import new_table, print_note
from glam.tables import say
from pipelines.store.repetition import format_amount

TWINS = {"flops": "dense twin, equal FLOPs a token", "family": "dense twin, as the paper's family"}
PARTS = {
    "weights": "float32",
    "optimizer": "Adafactor's second moments",
    "gradients": "float32; twice with micro-batches",
    "activations": "estimate",
    "logits": "of the output, with their gradient",
}


def training_plan_tables(plan: Mapping[str, Any]) -> None:
    """Print what a training will be, in four tables."""
    _sizes(plan)
    if plan["routing"]:
        _routing(plan["routing"])
    _memory(plan)
    _components(plan)


def _sizes(plan: Mapping[str, Any]) -> None:
    model, training = plan["model"], plan["training"]
    title = f"Model (vocabulary {model['vocabulary']:,}, sequences of {model['sequence_length']:,} tokens)"
    columns = ("", "parameters", "active", "forward FLOPs a token", "training FLOPs a token")
    sizes = new_table(title, columns, 1)
    for name, size in {"this model": model, **_named(plan["twins"] or {})}.items():
        figures = (f"{size[key]:,}" for key in ("parameters", "active", "forward_flops", "training_flops"))
        sizes.add_row(name, *figures)
    print_note(sizes)
    parts = f" in {training['micro_batches']} micro-batches" if training["micro_batches"] > 1 else ""
    batch = f"{training['batch_tokens']:,} tokens ({training['batch_rows']:,} rows{parts})"
    cost = f"{training['tokens']:,} tokens, {training['flops']:.3g} FLOPs"
    say(f"{training['steps']:,} updates of {batch}: {cost}; activations {model['activation_dtype']}")


def _named(twins: Mapping[str, Any]) -> dict[str, Any]:
    return {TWINS[kind]: size for kind, size in twins.items()}


def _routing(routing: Mapping[str, Any]) -> None:
    experts, slots, group = routing["experts"], routing["slots"], routing["group_tokens"]
    drops = routing["expected_drops"]
    of = "first and of second choices" if len(drops) > 1 else "choices"
    overhead = routing["einsum_overhead"]
    einsum = (
        f"{100 * overhead['of_forward']:.1f} % of the forward FLOPs ({100 * overhead['of_experts']:.1f} % of the "
        "experts' own)"
    )
    if routing["dispatcher"] == "einsum":
        dispatch = f"the einsum dispatcher adds {einsum}"
    else:
        dispatch = f"the gather dispatcher adds no FLOPs; einsum would add {einsum}"
    say(f"Routing: top {routing['choices']} of {experts} experts, second choices {routing['second_expert']}")
    say(
        f"  capacity factor {routing['capacity_factor']:g}, all choices counted: {slots:,} slots an expert for a group "
        f"of {group:,} tokens, {routing['slots_a_choice']:.2f} rows computed a choice"
    )
    say(f"  expected drops: {' and '.join(f'{100 * share:.2f} %' for share in drops)} of {of}")
    say(f"    ({routing['expected_drops_of']})")
    say(f"  {dispatch}")


def _memory(plan: Mapping[str, Any]) -> None:
    memory, remat = plan["memory"], plan["model"]["remat"]
    devices = plan["training"]["devices"]
    of = "one device" if devices == 1 else f"all {devices:,} devices"
    rows = new_table(f"Memory of {of}", ("part", "MiB", ""), 1)
    rows.columns[-1].justify = "left"
    for part, note in PARTS.items():
        rows.add_row(part, _mib(memory[part]), f"{note}, remat {remat}" if part == "activations" else note)
    rows.add_row("total", _mib(memory["total"]), "" if devices == 1 else "of each device: glam compile")
    print_note(rows)


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f}"


def _components(plan: Mapping[str, Any]) -> None:
    title = f"Components of {plan['version']['name']} ({plan['version']['id']})"
    rows = new_table(title, ("component", "weight", "tokens there are", "tokens asked", "epochs", "verdict"), 1)
    rows.columns[-1].justify = "left"
    for name, use in plan["components"].items():
        amounts = (format_amount(use[key]) for key in ("available", "asked"))
        rows.add_row(name, f"{use['weight']:.3g}", *amounts, f"{use['epochs']:.2f}", use["verdict"])
    print_note(rows)
