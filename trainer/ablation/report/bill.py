"""The bill: what every stage, training and evaluation took, as a whole and as each arm alone would have to pay.

In: the stages' rows (`corpus.stage_bill`) by version, the arms of a study. Out: plain rows. FLOPs are closed forms,
seconds and CPU seconds were measured when a thing was computed. Energy is a model, not a measurement: CPU seconds at
`WATTS_A_CORE`; what a GPU draws is not modelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

WATTS_A_CORE = 10.0
"""What a busy core is taken to draw, with its share of memory and fans: servers of 2020 to 2025 draw 5 to 15."""

WORKS = {
    "extract": "extraction",
    "deduplicate": "deduplication",
    "classifier": "filtering",
    "quality": "filtering",
    "sample": "filtering",
    "subset": "filtering",
    "tokenizer": "tokenizing",
    "tokenize": "tokenizing",
    "pack": "tokenizing",
    "pack_heldout": "tokenizing",
}
OTHER = "hold-out and accounts"
ORDER = (*dict.fromkeys(WORKS.values()), OTHER, "search", "training", "evaluation")
_MEASURES = ("seconds", "cpu_seconds", "flops", "bytes")


def bill(
    stages: Sequence[Mapping[str, Any]],
    of_version: Mapping[str, Sequence[Mapping[str, Any]]],
    arms: Sequence[Mapping[str, Any]],
    search: Mapping[str, Any] | None,
    gpu: bool,
) -> dict[str, Any]:
    """Return the bill.

    Args:
        stages: {stage, detail, seconds, cpu_seconds, bytes} of all versions, each once.
        of_version: the same of each version, by its id.
        arms: of a study.
        search: what its search found by arm, if there was one.
        gpu: whether the models worked on a GPU.

    Returns:
        {"stages", "runs": [{arm, work, runs, seconds, cpu_seconds, flops, bytes, joules}], "arms": rows of the same for
        every work of each arm, with one of all ("all"), "total", "watts"}; joules are null on a GPU.
    """
    runs = [row for arm in arms for row in _work_of(arm, search, gpu)]
    alone = [row for arm in arms for row in _alone(arm, of_version.get(arm["version"], ()), runs)]
    done = [*(_charged("", "", stage) for stage in stages), *runs]
    return {"stages": list(stages), "runs": runs, "arms": alone, "total": _sum("", "all", done), "watts": WATTS_A_CORE}


def _work_of(arm: Mapping[str, Any], search: Mapping[str, Any] | None, gpu: bool) -> Iterable[dict[str, Any]]:
    """Yield what the models of an arm did: search, training, evaluation."""
    if search is not None:
        took = search[arm["name"]]["took"]
        yield _charged(arm["name"], "search", took, took["runs"], gpu)
    trained = [dict(run) for run in arm["runs"]]
    yield _charged(arm["name"], "training", _total(trained), len(trained), gpu)
    evaluated = [run["evaluation"] for run in trained if run["evaluation"]]
    if evaluated:
        yield _charged(arm["name"], "evaluation", _total(evaluated), len(evaluated), gpu)


def _total(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: sum(entry[name] for entry in entries) for name in ("seconds", "cpu_seconds", "flops", "tokens")}


def _charged(
    arm: str, work: str, took: Mapping[str, Any], runs: int | None = None, gpu: bool = False
) -> dict[str, Any]:
    figures = {name: took.get(name, 0) for name in (*_MEASURES, "tokens")}
    joules = None if gpu else WATTS_A_CORE * figures["cpu_seconds"]
    return {"arm": arm, "work": work, "runs": runs, **figures, "joules": joules}


def _alone(
    arm: Mapping[str, Any], stages: Sequence[Mapping[str, Any]], runs: Sequence[dict[str, Any]]
) -> Iterable[dict[str, Any]]:
    """Yield what an arm would have to pay if it were alone: every stage of its version, and its runs."""
    name = arm["name"]
    own = [_charged(name, WORKS.get(stage["stage"], OTHER), stage) for stage in stages]
    own += [row for row in runs if row["arm"] == name]
    for work in ORDER:
        if of_work := [row for row in own if row["work"] == work]:
            yield _sum(name, work, of_work)
    yield _sum(name, "all", own)


def _sum(arm: str, work: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    joules = [row["joules"] for row in rows]
    total = {name: sum(row[name] for row in rows) for name in (*_MEASURES, "tokens")}
    return {"arm": arm, "work": work, **total, "joules": None if None in joules else sum(joules)}
