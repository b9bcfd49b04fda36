"""The bill: what every stage, training and evaluation took, as a whole and as each arm alone would have to pay.

In: the stages' rows (`corpus.stage_bill`) by version, the arms of a study. Out: plain rows. FLOPs are closed forms,
seconds and CPU seconds were measured when a thing was computed. Energy is what the machine's counters told
(`trainer.ablation.energy`); where they told nothing it is a model: CPU seconds at so many watts a core, those of the
measured trainings on a CPU, or `WATTS_A_CORE` without any. What a GPU draws is not modelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipelines.store.versions import Version

WATTS_A_CORE = 10.0
"""What a busy core is taken to draw, with its share of memory and fans: servers of 2020 to 2025 draw 5 to 15."""

FILTERING = "filtering"
WORKS = {
    "extract": "extraction",
    "deduplicate": "deduplication",
    "classifier": FILTERING,
    "quality": FILTERING,
    "sample": FILTERING,
    "subset": FILTERING,
    "tokenizer": "tokenizing",
    "tokenize": "tokenizing",
    "pack": "tokenizing",
    "pack_heldout": "tokenizing",
}
OTHER = "hold-out and accounts"
ORDER = (*dict.fromkeys(WORKS.values()), OTHER, "search", "training", "fine-tuning", "evaluation")
_MEASURES = ("seconds", "cpu_seconds", "flops", "bytes")


def bill(
    stages: Sequence[Mapping[str, Any]],
    of_version: Mapping[str, Sequence[Mapping[str, Any]]],
    arms: Sequence[Mapping[str, Any]],
    search: Mapping[str, Any] | None,
    tuned: Sequence[Mapping[str, Any]],
    gpu: bool,
) -> dict[str, Any]:
    """Return the bill.

    Args:
        stages: {stage, detail, seconds, cpu_seconds, bytes} of all versions, each once.
        of_version: the same of each version, by its id.
        arms: of a study.
        search: what its search found by arm, if there was one.
        tuned: its fine-tunings by arm and task, if there are any.
        gpu: whether the models worked on a GPU.

    Returns:
        {"stages", "runs": [{arm, work, runs, seconds, cpu_seconds, flops, bytes, tokens, joules, measured}], "arms":
        rows of the same for every work of each arm, with one of all ("all"), "total", "watts", "watts_measured"};
        `measured` are those of the joules that counters told; joules are null where a GPU worked and nothing told.
    """
    rate = None if gpu else measured_watts([run for arm in arms for run in arm["runs"]])
    watts = rate or WATTS_A_CORE
    runs = [row for arm in arms for row in _work_of(arm, search, tuned, None if gpu else watts)]
    alone = [row for arm in arms for row in _alone(arm, of_version.get(arm["version"], ()), runs, watts)]
    done = [*(_charged("", "", stage, watts) for stage in stages), *runs]
    return {
        "stages": list(stages),
        "runs": runs,
        "arms": alone,
        "total": _sum("", "all", done),
        "watts": watts,
        "watts_measured": rate is not None,
    }


def needed(version: Version, stages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the stages that a version would need alone: one that takes all documents needs no filter."""
    takes_all = all(part.variant == "all" for part in version.components.values())
    return [stage for stage in stages if not takes_all or WORKS.get(stage["stage"]) != FILTERING]


def measured_watts(runs: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the joules a CPU second of the trainings that were measured; None without any."""
    measured = [run for run in runs if run.get("joules") is not None]
    seconds = sum(run["cpu_seconds"] for run in measured)
    return sum(run["joules"] for run in measured) / seconds if seconds else None


def _work_of(
    arm: Mapping[str, Any],
    search: Mapping[str, Any] | None,
    tuned: Sequence[Mapping[str, Any]],
    watts: float | None,
) -> Iterable[dict[str, Any]]:
    """Yield what the models of an arm did: search, training, fine-tuning, evaluation."""
    name = arm["name"]
    if search is not None:
        took = search[name]["took"]
        yield _charged(name, "search", took, watts) | {"runs": took["runs"]}
    after = [run for entry in tuned if entry["arm"] == name for run in entry["runs"]]
    evaluated = [run["evaluation"] for run in (*arm["runs"], *after) if run["evaluation"]]
    for work, entries in (("training", arm["runs"]), ("fine-tuning", after), ("evaluation", evaluated)):
        if entries:
            rows = [_charged(name, work, entry, watts) for entry in entries]
            yield _sum(name, work, rows) | {"runs": len(rows)}


def _charged(arm: str, work: str, took: Mapping[str, Any], watts: float | None) -> dict[str, Any]:
    """Return a row; its energy is what was measured, else so many watts a CPU second, else null."""
    figures = {name: took.get(name, 0) for name in (*_MEASURES, "tokens")}
    measured = took.get("joules")
    joules = measured if measured is not None else None if watts is None else watts * figures["cpu_seconds"]
    return {"arm": arm, "work": work, **figures, "joules": joules, "measured": measured or 0.0}


def _alone(
    arm: Mapping[str, Any], stages: Sequence[Mapping[str, Any]], runs: Sequence[dict[str, Any]], watts: float
) -> Iterable[dict[str, Any]]:
    """Yield what an arm would have to pay if it were alone: every stage of its version, and its runs."""
    name = arm["name"]
    own = [_charged(name, WORKS.get(stage["stage"], OTHER), stage, watts) for stage in stages]
    own += [row for row in runs if row["arm"] == name]
    for work in ORDER:
        if of_work := [row for row in own if row["work"] == work]:
            yield _sum(name, work, of_work)
    yield _sum(name, "all", own)


def _sum(arm: str, work: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    joules = [row["joules"] for row in rows]
    total = {name: sum(row[name] for row in rows) for name in (*_MEASURES, "tokens", "measured")}
    return {"arm": arm, "work": work, **total, "joules": None if None in joules else sum(joules)}
