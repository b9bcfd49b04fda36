"""What came of a study's fine-tunings, as the part `fine_tuning` of its study.json.

In: the jobs of finished fine-tunings. Out: for every arm and task the accuracy (0 to 100) of the held part before and
after, with intervals; for every comparison the difference of both and of the gain, paired by seed and example as bits
per byte are (`trainer.ablation.statistics`). Differences are a less b: above zero a is better.

Artetxe et al. (2021) name fine-tuning as the exception to what sparse models gain: the difference of gains tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainer.ablation.fine_tuning.parts import Parts
from trainer.ablation.fine_tuning.scoring import by_group, read_held
from trainer.ablation.run_pool import Job
from trainer.ablation.run_record import RUN_ID_DIGITS, sum_known, training_joules
from trainer.ablation.scores import DocumentScores, Domain, DomainScores, RunScores, score_domains
from trainer.ablation.statistics import PairedDifference, compare, mean_interval
from trainer.ablation.study import LoadedStudy
from trainer.ablation.study_parts import Comparison
from trainer.run_folder import read_run

BEFORE, AFTER, GAIN = "before", "after", "gain"
"""The stages of a task: scored as trained, scored as fine-tuned, and the one less the other."""

UNIT = "points of accuracy"
COSTS = ("seconds", "cpu_seconds", "flops", "tokens")


def summarize_fine_tuning(loaded: LoadedStudy, parts: Mapping[str, Parts], jobs: Sequence[Job]) -> dict[str, Any]:
    """Return the part of study.json (docs/formats.md)."""
    tuning = loaded.study.fine_tuning
    assert tuning is not None
    scored = {name: _read(name, of_task, jobs) for name, of_task in parts.items()}
    stages = _stages(scored, list(loaded.study.arms))
    found = [
        Domain(f"{stage} {name}", "task", (f"{stage} {name}",)) for name in parts for stage in (BEFORE, AFTER, GAIN)
    ]
    by_arm = score_domains(stages, found)
    return {
        **tuning.model_dump(exclude={"catalogue", "data", "tasks"}),
        "tasks": [_task(name, of_task, scored[name]) for name, of_task in parts.items()],
        "arms": [
            {"arm": arm, "task": name, **_scores(found, by_arm, arm, name), "runs": _runs(scored[name], arm)}
            for arm in loaded.study.arms
            for name in parts
        ],
        "comparisons": [_compared(comparison, stages, found) for comparison in loaded.study.comparisons],
    }


def _read(name: str, parts: Parts, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Return what is known of every fine-tuning on a task, in order of the jobs."""
    return [
        {
            "job": job,
            BEFORE: read_held(job["fine_tuning"]["parent"], parts),
            AFTER: read_held(job["run_dir"], parts),
        }
        for job in jobs
        if job["fine_tuning"]["task"] == name
    ]


def _stages(scored: Mapping[str, Sequence[Mapping[str, Any]]], arms: Sequence[str]) -> dict[str, list[RunScores]]:
    """Return, for each arm and seed, the errors of every stage of every task."""
    found: dict[str, list[RunScores]] = {}
    for arm in arms:
        by_task = [
            [_errors(name, entry) for entry in entries if entry["job"]["arm"] == arm]
            for name, entries in scored.items()
        ]
        found[arm] = [
            {stage: errors for of_task in of_seed for stage, errors in of_task.items()}
            for of_seed in zip(*by_task, strict=True)
        ]
    return found


def _errors(name: str, entry: Mapping[str, Any]) -> dict[str, DocumentScores]:
    before, after = (by_group(entry[stage]) for stage in (BEFORE, AFTER))
    gain = DocumentScores(after.bits - before.bits, after.bytes)
    return {f"{BEFORE} {name}": before, f"{AFTER} {name}": after, f"{GAIN} {name}": gain}


def _task(name: str, parts: Parts, scored: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first = scored[0][AFTER]
    return {
        "task": name,
        "title": parts.held.task.title,
        "trained_on": parts.examples,
        "held": len(parts.held.examples),
        "data": parts.digest,
        "chance": first["chance"],
        "majority": first["majority"],
    }


def _scores(
    found: Sequence[Domain], by_arm: Sequence[Mapping[str, DomainScores]], arm: str, name: str
) -> dict[str, dict[str, float | None]]:
    """Return {stage: {"score", "low", "high"}}, in accuracy."""
    of_task = {}
    for stage in (BEFORE, AFTER, GAIN):
        number = next(n for n, domain in enumerate(found) if domain.name == f"{stage} {name}")
        error, half = mean_interval(by_arm[number][arm])
        score = -error if stage == GAIN else 100 - error
        least = -100.0 if stage == GAIN else 0.0
        ends = (None, None) if half is None else (max(least, score - half), min(100.0, score + half))
        of_task[stage] = {"score": score, **dict(zip(("low", "high"), ends, strict=True))}
    return of_task


def _runs(scored: Sequence[Mapping[str, Any]], arm: str) -> list[dict[str, Any]]:
    """Return every fine-tuned run of an arm, what it cost, and what scoring it and its parent cost."""
    rows = []
    for entry in scored:
        job = entry["job"]
        if job["arm"] == arm:
            run = read_run(job["run_dir"])
            result = run["result"]
            held = [entry[stage] for stage in (BEFORE, AFTER)]
            rows.append(
                {
                    "id": run["fingerprint"][:RUN_ID_DIGITS],
                    "parent": job["fine_tuning"]["parent"].rsplit("/", 1)[-1],
                    "seed": job["seed"],
                    **{name: result[name] for name in ("steps", "loss", "weights", *COSTS)},
                    "joules": training_joules(job["run_dir"], result["seconds"]),
                    "evaluation": {name: sum(part[name] for part in held) for name in COSTS}
                    | {"joules": sum_known([part["joules"] for part in held])},
                }
            )
    return rows


def _compared(
    comparison: Comparison, stages: Mapping[str, Sequence[RunScores]], found: Sequence[Domain]
) -> dict[str, Any]:
    results = compare(stages[comparison.a], stages[comparison.b], found)
    rows = [_in_points(result, comparison) for result in results]
    return {"a": comparison.a, "b": comparison.b, "results": rows}


def _in_points(found: PairedDifference, comparison: Comparison) -> dict[str, Any]:
    """Return a difference of errors as one of accuracies."""
    stage, _, name = found.domain.partition(" ")

    def turned(value: float | None) -> float | None:
        return None if value is None else -value

    return {
        "task": name,
        "stage": stage,
        "difference": -found.difference,
        "low": turned(found.high),
        "high": turned(found.low),
        "by_seed": [-value for value in found.by_seed],
        "bootstrap_low": -found.bootstrap_high,
        "bootstrap_high": -found.bootstrap_low,
        "seeds_needed": found.seeds_needed,
        "distinguishable": found.distinguishable,
        "verdict": found.verdict(comparison.a, comparison.b, UNIT, 1),
    }
