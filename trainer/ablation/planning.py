"""What a study will do and cost, without doing it. Importing this module does not import JAX."""

from __future__ import annotations

from typing import Any

from pipelines.store.repetition import plan_repetition
from trainer.ablation.differences import check_configurations, declared, training_differences
from trainer.ablation.statistics import detectable_effect
from trainer.ablation.study import LoadedStudy
from trainer.ablation.study_parts import Comparison, Slice
from trainer.accounting import cost
from trainer.pod.topology import parse_topology


def plan(loaded: LoadedStudy) -> dict[str, Any]:
    """Return what a study will do and cost.

    Returns:
        {study, question, arms: [{name, version, parameters, active, steps, tokens, flops, epochs}], comparisons,
        savings, seeds, runs, search_runs, fine_tunings, tokens, flops, chips, days, detectable_effect, seed_deviation}:
        tokens and FLOPs of training, over all seeds, in the totals of search and fine-tuning too; epochs of one run by
        component, null where nobody says how many tokens there are; chips of the slice and days that all runs take on
        it, one after the other (null without one); the smallest difference (bits per byte) that the seeds tell with a
        power of 0.8 if differences vary by `seed_deviation`. A comparison has the keys in which its trainings differ
        and what may differ at all.

    Raises:
        ArmsDifferError: when arms differ in more than is under test.
    """
    study = loaded.study
    check_configurations(loaded)
    arms = [_planned(name, loaded) for name in study.arms]
    searches = [_searched(name, loaded) for name in study.arms]
    tunings = [_fine_tuned(name, loaded) for name in study.arms]
    parts = [*arms, *searches, *tunings]
    flops = sum(part["flops"] for part in parts)
    return {
        "study": study.name,
        "question": study.question,
        "arms": arms,
        "comparisons": [_compared(comparison, loaded) for comparison in study.comparisons],
        "savings": [saving.model_dump() for saving in study.savings],
        "seeds": study.seeds,
        "runs": len(arms) * len(study.seeds),
        "search_runs": sum(search["runs"] for search in searches),
        "fine_tunings": sum(tuning["runs"] for tuning in tunings),
        "tokens": sum(part["tokens"] for part in parts),
        "flops": flops,
        **_on_slice(flops, study.slice),
        "seed_deviation": study.seed_deviation,
        "detectable_effect": round(detectable_effect(len(study.seeds), study.seed_deviation), 4),
    }


def _compared(comparison: Comparison, loaded: LoadedStudy) -> dict[str, Any]:
    a, b = (loaded.trainings[arm] for arm in (comparison.a, comparison.b))
    return {
        **comparison.model_dump(),
        "differ": declared(loaded, comparison),
        "training": training_differences(a, b),
    }


def _planned(name: str, loaded: LoadedStudy) -> dict[str, Any]:
    corpus = loaded.corpora[name]
    training = loaded.trainings[name].resolved(corpus.pack.sequence_length, loaded.study.backend)
    size = cost(training.model, corpus.tokenizer.vocabulary_size, corpus.pack.sequence_length)
    tokens = training.training.steps * training.training.batch_rows * corpus.pack.sequence_length
    return {
        "name": name,
        "version": training.version,
        "parameters": size.parameters,
        "active": size.active,
        "steps": training.training.steps,
        "tokens": tokens * len(loaded.study.seeds),
        "flops": tokens * len(loaded.study.seeds) * size.training_flops,
        "epochs": _epochs(name, loaded, tokens),
    }


def _searched(name: str, loaded: LoadedStudy) -> dict[str, int]:
    """Return runs, tokens and FLOPs of an arm's search."""
    search, arm = loaded.study.search, _planned(name, loaded)
    if search is None:
        return {"runs": 0, "tokens": 0, "flops": 0}
    runs, steps = len(set(search.learning_rates)), search.steps or arm["steps"]
    of_seeds = arm["steps"] * len(loaded.study.seeds)
    return {"runs": runs, **{figure: arm[figure] * runs * steps // of_seeds for figure in ("tokens", "flops")}}


def _fine_tuned(name: str, loaded: LoadedStudy) -> dict[str, int]:
    """Return runs, tokens and FLOPs of the fine-tunings of an arm."""
    tuning, arm = loaded.study.fine_tuning, _planned(name, loaded)
    if tuning is None:
        return {"runs": 0, "tokens": 0, "flops": 0}
    runs = len(tuning.tasks) * len(loaded.study.seeds)
    tokens = runs * tuning.steps * tuning.batch_rows * loaded.corpora[name].pack.sequence_length
    return {"runs": runs, "tokens": tokens, "flops": arm["flops"] // arm["tokens"] * tokens}


def _epochs(name: str, loaded: LoadedStudy, tokens: int) -> dict[str, float | None]:
    """Return how often a run of an arm reads each component."""
    corpus, arm = loaded.corpora[name], loaded.study.arms[name]
    weights = loaded.trainings[name].mixture or {component: part.weight for component, part in corpus.mixture.items()}
    available = {component: corpus.mixture[component].expected_tokens for component in weights} | arm.expected_tokens
    uses = plan_repetition(weights, available, tokens, corpus.mixture_limits)
    return {use.component: None if use.epochs is None else round(float(use.epochs), 4) for use in uses}


def _on_slice(flops: int, part: Slice | None) -> dict[str, float | None]:
    """Return chips, and days of all runs on them."""
    if part is None:
        return {"chips": None, "days": None}
    topology = parse_topology(part.topology)
    seconds = flops / (topology.chips * topology.chip.peak_flops * part.utilization)
    return {"chips": topology.chips, "days": round(seconds / 86400, 1)}
