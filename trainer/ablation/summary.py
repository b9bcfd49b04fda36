"""What came out of a study, as the content of its study.json, from finished runs.

In: the study, its versions, the jobs of its runs. Out: plain values (docs/formats.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import reduce
from typing import Any

import numpy as np

from pipelines.store.code_identity import code_identity
from pipelines.store.files import join
from pipelines.store.versions import Version
from trainer.ablation.domains import domains
from trainer.ablation.machine import describe_machine
from trainer.ablation.run_pool import Job
from trainer.ablation.run_record import STUDY_FORMAT, run_record
from trainer.ablation.saving import Priced, match, trend
from trainer.ablation.scores import DocumentScores, Domain, DomainScores, RunScores, score_domains
from trainer.ablation.statistics import compare
from trainer.ablation.study import LoadedStudy
from trainer.ablation.study_parts import Axis, Comparison, Saving


def summarize(
    loaded: LoadedStudy,
    identifier: str,
    versions: Mapping[str, Version],
    jobs: Sequence[Job],
    differences: Sequence[Mapping[str, Any]],
    searched: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the content of study.json.

    Args:
        loaded: the study as it was trained.
        identifier: its id.
        versions: the dataset version of each arm.
        jobs: of all runs.
        differences: of each comparison, the proof of what its arms differ in.
        searched: what the search of learning rates found by arm, or None.
    """
    study = loaded.study
    read = {arm: _read_scores([job["run_dir"] for job in jobs if job["arm"] == arm]) for arm in study.arms}
    scores = shared_documents(read)
    arms = {name: _arm(name, versions[name], jobs, scores[name]) for name in study.arms}
    first = next(iter(read.values()))[0]
    sources = {
        source: (first[source].component, first[source].out_of_domain) for source in next(iter(scores.values()))[0]
    }
    found = domains(sources, study.curated)
    compared = [
        {**_compared(comparison, scores, found), "differences": proof}
        for comparison, proof in zip(study.comparisons, differences, strict=True)
    ]
    return {
        "format": STUDY_FORMAT,
        "kind": "study",
        "id": identifier,
        "name": study.name,
        "title": study.title,
        "question": study.question,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {loaded.trainings[arm].version: version.id for arm, version in versions.items()},
        "seeds": list(study.seeds),
        "curated": list(study.curated),
        "arms": list(arms.values()),
        "comparisons": compared,
        "savings": _savings(study.savings, arms, scores, found),
        "search": searched,
        "configuration": {
            "corpora": {name: corpus.model_dump(mode="json", exclude={"data"}) for name, corpus in _corpora(loaded)},
            "trainings": {name: config.model_dump() for name, config in loaded.trainings.items()},
        },
        "code": code_identity("trainer.ablation.run"),
        "libraries": next(iter(arms.values()))["runs"][0]["libraries"],
        "machine": describe_machine() | {"backend": study.backend},
    }


def _corpora(loaded: LoadedStudy) -> list[tuple[str, Any]]:
    """Return each corpus once, under the name of the first arm that it is for."""
    once: list[tuple[str, Any]] = []
    for name, corpus in loaded.corpora.items():
        if all(corpus != other for _, other in once):
            once.append((name, corpus))
    return once


def _arm(name: str, version: Version, jobs: Sequence[Job], scores: Sequence[RunScores]) -> dict[str, Any]:
    records = [run_record(job["run_dir"]) for job in jobs if job["arm"] == name]
    runs = []
    for record, of_run in zip(records, scores, strict=True):
        heldout = {source: round(entry.bits_per_byte, 6) for source, entry in of_run.items()}
        runs.append({**{key: record[key] for key in record if key != "config"}, "heldout": heldout})
    return {"name": name, "version": version.id, **runs[0]["cost"], "runs": runs}


def _read_scores(run_dirs: Sequence[str]) -> list[dict[str, Any]]:
    from trainer.evaluation.bits_per_byte import read_scores

    return [read_scores(join(run_dir, "heldout.parquet")) or {} for run_dir in run_dirs]


def shared_documents(read: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[RunScores]]:
    """Return the scores of the documents that every arm held out, in order of document id.

    Arms of one corpus hold out the same; corpora that find other duplicates share all but a few.
    """
    first = [runs[0] for runs in read.values()]
    sources = [source for source in first[0] if all(source in run for run in first)]
    common = {source: reduce(np.intersect1d, [np.array(run[source].ids) for run in first]) for source in sources}
    shared = {source: ids for source, ids in common.items() if len(ids)}
    return {arm: [_chosen(run, shared) for run in runs] for arm, runs in read.items()}


def _chosen(run: Mapping[str, Any], documents: Mapping[str, np.ndarray]) -> dict[str, DocumentScores]:
    found = {}
    for source, ids in documents.items():
        scores = run[source]
        own = np.array(scores.ids)
        order = np.argsort(own)
        rows = order[np.searchsorted(own, ids, sorter=order)]
        found[source] = DocumentScores(scores.bits[rows], scores.bytes[rows])
    return found


def _compared(
    comparison: Comparison, scores: Mapping[str, Sequence[RunScores]], found: Sequence[Domain]
) -> dict[str, Any]:
    """Compare two arms over every domain."""
    results = [
        {**difference.to_json(), "verdict": difference.verdict(comparison.a, comparison.b)}
        for difference in compare(scores[comparison.a], scores[comparison.b], found)
    ]
    return {**comparison.model_dump(), "results": results}


def _savings(
    savings: Sequence[Saving],
    arms: Mapping[str, Mapping[str, Any]],
    scores: Mapping[str, Sequence[RunScores]],
    found: Sequence[Domain],
) -> list[dict[str, Any]]:
    """Match the arms of each saving in every domain, on every axis of cost."""
    answers = []
    for saving in savings:
        scored = score_domains({name: scores[name] for name in (*saving.saver, *saving.reference)}, found)
        results = [
            {"axis": axis, "domain": domain.name, "kind": domain.kind, **_matched(saving, axis, arms, by_arm)}
            for axis in saving.axes
            for domain, by_arm in zip(found, scored, strict=True)
        ]
        answers.append({**saving.model_dump(), "results": results})
    return answers


def _matched(
    saving: Saving, axis: Axis, arms: Mapping[str, Mapping[str, Any]], scores: Mapping[str, DomainScores]
) -> dict[str, Any]:
    def priced(name: str) -> Priced:
        return Priced(name, float(np.mean([run[axis] for run in arms[name]["runs"]])), scores[name])

    saver = [priced(name) for name in saving.saver]
    matches = [match(saver, priced(name)) for name in saving.reference]
    smallest = scores[saving.reference[0]].smallest
    return {"matches": [found.to_json() for found in matches], "trend": trend(matches, smallest)}


def verdicts(study: Mapping[str, Any]) -> dict[str, Any]:
    """Return the study's part of what `glam ablate --json` prints: {study, versions, verdicts, savings,
    fine_tuning}."""
    rows = [
        {
            "comparison": f"{comparison['a']} vs {comparison['b']}",
            **{name: result[name] for name in ("domain", "difference", "low", "high", "verdict")},
        }
        for comparison in study["comparisons"]
        for result in comparison["results"]
    ]
    found = {"study": study["id"], "versions": study["versions"], "verdicts": rows, "savings": study["savings"]}
    return found | {"fine_tuning": study.get("fine_tuning")}
