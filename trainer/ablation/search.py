"""The learning rate of each arm, by the same small search for all: short trainings of one seed, the lowest loss wins.

In: a study, its versions. Out: the jobs to train, then what they chose. The loss is the cross-entropy of the last
updates' own batches (`RunResult.loss`); the batches are the same for every rate, and nothing held out is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.ablation.run_pool import Job
from trainer.ablation.run_record import sum_known, training_joules
from trainer.ablation.study_parts import Search
from trainer.config import TrainingConfig
from trainer.run_folder import read_run


def tried(search: Search, config: TrainingConfig) -> dict[float, TrainingConfig]:
    """Return the trainings of an arm's search by learning rate, lowest first."""
    training = {"steps": search.steps or config.training.steps}
    return {
        rate: config.changed({"optimizer": {"learning_rate": rate}, "training": training}, "search")
        for rate in sorted(set(search.learning_rates))
    }


def outcome(jobs: Sequence[Job]) -> dict[str, Any]:
    """Return what the finished runs of an arm's search say.

    Returns:
        {"chosen": the rate, "losses": [[rate, nats or null]], "at_end": whether it is the lowest or highest tried,
        "took": {"runs", "seconds", "cpu_seconds", "flops", "tokens", "joules" (null where they were not measured)}}.
    """
    results = [read_run(job["run_dir"])["result"] for job in jobs]
    rates = [job["config"]["optimizer"]["learning_rate"] for job in jobs]
    losses = sorted((rate, result["loss"]) for rate, result in zip(rates, results, strict=True))
    chosen = min(losses, key=lambda pair: math.inf if pair[1] is None else pair[1])[0]
    at_end = chosen in (losses[0][0], losses[-1][0])
    took = {name: sum(result[name] for result in results) for name in ("seconds", "cpu_seconds", "flops", "tokens")}
    energy = [training_joules(job["run_dir"], run["seconds"]) for job, run in zip(jobs, results, strict=True)]
    took["joules"] = sum_known(energy)
    tried_all = [list(pair) for pair in losses]
    return {"chosen": chosen, "losses": tried_all, "at_end": at_end, "took": {"runs": len(jobs), **took}}


def in_words(arm: str, found: Mapping[str, Any]) -> str:
    """Say what was chosen, and of what."""
    losses = ", ".join(f"{rate:g} ({'-' if loss is None else format(loss, '.4f')})" for rate, loss in found["losses"])
    end = "; it is the last of those tried: the best may lie beyond" if found["at_end"] else ""
    return f"arm {arm}: learning rate {found['chosen']:g}, of {losses}{end}"
