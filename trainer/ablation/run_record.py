"""What a study and a report tell of one run: a small dictionary from the files of its folder.

In: a run folder (run.json, metrics.jsonl, evaluation.json). Out: plain JSON values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.store.errors import GlamError
from pipelines.store.files import exists, join, read_json
from trainer.ablation.energy import ENERGY_FILE
from trainer.run_folder import read_run

EVALUATION_FILE = "evaluation.json"
DOMAINS_FILE = "evaluation/domains.json"
CURVE_POINTS = 50
SETTLED_SHARE = 0.5
"""Expert load is told of the last half of the training, when the router has settled."""

RUN_ID_DIGITS = 32

STUDY_FORMAT = 2
"""Of study.json."""


def run_record(run_dir: str) -> dict[str, Any]:
    """Return the record of a finished run.

    Keys: id, seed, version, config, code, libraries, cost, the figures of its result (steps, tokens, loss, weights,
    seconds, cpu_seconds, flops …), `joules` of the training or None, `curve` [[tokens, cross-entropy]], `expert_load`
    [layers][experts] shares, `dropped_share` of the choices, `evaluation` {seconds, cpu_seconds, tokens, flops, joules}
    or None.

    Raises:
        GlamError: when the run is missing or not finished.
    """
    from trainer.metrics import read_metrics

    run = read_run(run_dir)
    if not run["finished"]:
        raise GlamError(f"{run_dir}: the training is not finished; the same command finishes it")
    lines = read_metrics(join(run_dir, "metrics.jsonl"))
    evaluation = join(run_dir, EVALUATION_FILE)
    return {
        "id": run["fingerprint"][:RUN_ID_DIGITS],
        **{name: run[name] for name in ("seed", "config", "code", "libraries", "cost")},
        **run["result"],
        "version": run["version"]["id"],
        "joules": training_joules(run_dir, run["result"]["seconds"]),
        "curve": learning_curve(lines),
        **settled_routing(lines),
        "evaluation": read_json(evaluation) if exists(evaluation) else None,
    }


def training_joules(run_dir: str, seconds: float) -> float | None:
    """Return the energy of a training of so many seconds; where it was stopped and part of it was measured, as much a
    second for all of it. None where nothing was."""
    path = join(run_dir, ENERGY_FILE)
    if not exists(path):
        return None
    measured = read_json(path)
    return round(measured["joules"] * max(1.0, seconds / measured["seconds"]), 3)


def sum_known(joules: Sequence[float | None]) -> float | None:
    """Return the sum of energies; None where one of them was not measured."""
    known = [value for value in joules if value is not None]
    return sum(known) if len(known) == len(joules) else None


def learning_curve(lines: Sequence[dict[str, Any]]) -> list[list[float]]:
    """Return at most `CURVE_POINTS` points [tokens, mean cross-entropy of the updates since the last point]."""
    width = -(-len(lines) // CURVE_POINTS) or 1
    points = []
    for start in range(0, len(lines), width):
        part = lines[start : start + width]
        losses = [line["loss"] for line in part if line["loss"] is not None]
        if losses:
            points.append([part[-1]["tokens"], round(sum(losses) / len(losses), 5)])
    return points


def settled_routing(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the mean share of each expert by mixture layer, and of dropped choices; empty for a dense model."""
    routed = [line for line in lines[int(len(lines) * SETTLED_SHARE) :] if "load" in line]
    if not routed:
        return {"expert_load": [], "dropped_share": 0.0}
    layers = zip(*(line["load"] for line in routed), strict=True)
    load = [[round(sum(shares) / len(shares), 5) for shares in zip(*layer, strict=True)] for layer in layers]
    dropped = [share for line in routed for layer in line["dropped"] for share in layer]
    return {"expert_load": load, "dropped_share": round(sum(dropped) / len(dropped), 5)}
