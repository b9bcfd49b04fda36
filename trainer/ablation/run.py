"""Runs a study: corpora, trainings, scores, comparisons, report. It computes nothing twice.

    study file ─▶ build ─▶ versions ─▶ runs (arm × seed), side by side ─▶ paired differences ─▶ study.json, report.html

A run's folder is STORE/runs/ID, ID the first digits of the sha256 over version id, settings, seed, code and libraries:
finished runs are found, stopped ones go on, and a change of any of these starts another run. A study's id is that of
its runs and comparisons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pipelines.build import Build, build
from pipelines.progress import Display
from pipelines.store.code_identity import code_identity
from pipelines.store.files import exists, is_local, join, read_json, write_json
from pipelines.store.hashing import sha256_json
from pipelines.store.versions import Version
from trainer.ablation.machine import describe_machine
from trainer.ablation.report.data import study_report
from trainer.ablation.report.page import write_page
from trainer.ablation.run_pool import Job, StudyError, train_side_by_side
from trainer.ablation.run_record import RUN_ID_DIGITS, run_record
from trainer.ablation.statistics import DocumentScores, RunScores, compare
from trainer.ablation.study import Comparison, LoadedStudy, domains
from trainer.config import TrainingConfig
from trainer.mixture import check_repetition
from trainer.run_folder import read_run, run_identity

FORMAT = 1
STUDY_FILE = "study.json"
REPORT_FILE = "report.html"


def run_study(
    loaded: LoadedStudy, store_url: str, beam_options: Sequence[str], display: Display
) -> tuple[dict[str, Any], Build]:
    """Run a study, or find it in the store.

    Args:
        loaded: the study and its configurations.
        store_url: the store, a folder of this machine.
        beam_options: of the corpus build.
        display: shows progress.

    Returns:
        The content of study.json, which lies beside report.html in STORE/studies/ID, and the build.

    Raises:
        GlamError: with a message for the user.
    """
    if not is_local(store_url):
        raise StudyError(f"{store_url}: a study trains on this machine; give --store a local folder")
    made = build(loaded.corpus, store_url, beam_options, display)
    for arm, config in loaded.trainings.items():
        version = made.versions[config.version]
        for warning in check_repetition(version, _resolved(config, version)):
            display.say(f"  arm {arm}: {warning}")
    jobs = plan_runs(loaded, made.versions, store_url)
    identifier = study_id(loaded, made.versions, jobs)
    folder = join(store_url, "studies", identifier)
    path = join(folder, STUDY_FILE)
    if exists(path):
        display.say(f"  study {loaded.study.name} {identifier}: found, not computed again")
        study = read_json(path)
    else:
        train_missing(jobs, loaded.study.workers, display)
        study = summarize(loaded, identifier, made.versions, jobs)
        write_json(path, study)
    write_page(study_report(study, store_url), join(folder, REPORT_FILE))
    return study, made


def plan_runs(loaded: LoadedStudy, versions: Mapping[str, Version], store_url: str) -> list[Job]:
    """Return the job of every arm and seed; all arms of a seed come before the next seed."""
    jobs = []
    for seed in loaded.study.seeds:
        for arm, training in loaded.trainings.items():
            version = versions[training.version]
            config = _resolved(training, version)
            identity = run_identity(version.id, config, seed)
            tokens = config.training.steps * config.training.batch_rows * version.sequence_length
            jobs.append(
                {
                    "run_dir": join(store_url, "runs", sha256_json(identity)[:RUN_ID_DIGITS]),
                    "arm": arm,
                    "version": version.url,
                    "config": config.model_dump(),
                    "seed": seed,
                    "tokens": tokens,
                }
            )
    return jobs


def _resolved(config: TrainingConfig, version: Version) -> TrainingConfig:
    """Return what decides a run of a study, whose workers train on a CPU."""
    return config.resolved(version.sequence_length, "cpu")


def train_missing(jobs: Sequence[Job], workers: int, display: Display) -> None:
    """Train and score the runs that are not finished; arms that are one and the same run are trained once."""
    missing = {job["run_dir"]: job for job in jobs if not _is_scored(job["run_dir"])}
    if found := len(jobs) - len(missing):
        display.say(f"  runs: {found} of {len(jobs)} found, not computed again")
    if missing:
        train_side_by_side(list(missing.values()), workers, display)


def _is_scored(run_dir: str) -> bool:
    finished = exists(join(run_dir, "run.json")) and read_run(run_dir)["finished"]
    return finished and exists(join(run_dir, "heldout.parquet")) and exists(join(run_dir, "evaluation.json"))


def study_id(loaded: LoadedStudy, versions: Mapping[str, Version], jobs: Sequence[Job]) -> str:
    """Return the study's id: of its text, runs, versions, and the code that compares them."""
    study = loaded.study
    said = study.model_dump(include={"name", "title", "question", "seeds", "comparisons", "curated"})
    runs = [[job["arm"], job["run_dir"].rsplit("/", 1)[-1]] for job in jobs]
    ids = {name: version.id for name, version in versions.items()}
    identity = {"study": said, "runs": runs, "versions": ids, "code": code_identity("trainer.ablation.run")}
    return sha256_json(identity)[:RUN_ID_DIGITS]


def summarize(
    loaded: LoadedStudy, identifier: str, versions: Mapping[str, Version], jobs: Sequence[Job]
) -> dict[str, Any]:
    """Return the content of study.json, from finished runs."""
    study = loaded.study
    arms = [_arm(name, loaded, versions, jobs) for name in study.arms]
    compared = [_compared(comparison, study.curated, jobs) for comparison in study.comparisons]
    libraries = arms[0]["runs"][0]["libraries"]
    return {
        "format": FORMAT,
        "kind": "study",
        "id": identifier,
        "name": study.name,
        "title": study.title,
        "question": study.question,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: version.id for name, version in versions.items()},
        "seeds": list(study.seeds),
        "curated": list(study.curated),
        "arms": arms,
        "comparisons": compared,
        "configuration": {
            "corpus": loaded.corpus.model_dump(mode="json", exclude={"data"}),
            "trainings": {name: config.model_dump() for name, config in loaded.trainings.items()},
        },
        "code": code_identity("trainer.ablation.run"),
        "libraries": libraries,
        "machine": describe_machine(),
    }


def _arm(name: str, loaded: LoadedStudy, versions: Mapping[str, Version], jobs: Sequence[Job]) -> dict[str, Any]:
    runs = []
    for job in jobs:
        if job["arm"] == name:
            scores = {source: round(s.bits_per_byte, 6) for source, s in _document_scores(job["run_dir"]).items()}
            record = run_record(job["run_dir"])
            runs.append({**{key: record[key] for key in record if key != "config"}, "heldout": scores})
    version = versions[loaded.trainings[name].version]
    return {"name": name, "version": version.id, **runs[0]["cost"], "runs": runs}


def _document_scores(run_dir: str) -> dict[str, DocumentScores]:
    """Read what a run gave each document, in order of document id."""
    from trainer.evaluation.bits_per_byte import read_scores

    found = {}
    for source, scores in (read_scores(join(run_dir, "heldout.parquet")) or {}).items():
        order = sorted(range(len(scores.ids)), key=scores.ids.__getitem__)
        found[source] = DocumentScores(scores.bits[order], scores.bytes[order])
    return found


def _held_out_sources(run_dir: str) -> dict[str, tuple[str, bool]]:
    from trainer.evaluation.bits_per_byte import read_scores

    scores = read_scores(join(run_dir, "heldout.parquet")) or {}
    return {source: (entry.component, entry.out_of_domain) for source, entry in scores.items()}


def _compared(comparison: Comparison, curated: Sequence[str], jobs: Sequence[Job]) -> dict[str, Any]:
    """Compare two arms over every domain."""

    def runs_of(arm: str) -> list[RunScores]:
        return [_document_scores(job["run_dir"]) for job in jobs if job["arm"] == arm]

    found = domains(_held_out_sources(jobs[0]["run_dir"]), curated)
    results = [
        {**difference.to_json(), "verdict": difference.verdict(comparison.a, comparison.b)}
        for difference in compare(runs_of(comparison.a), runs_of(comparison.b), found)
    ]
    return {**comparison.model_dump(), "results": results}


def verdicts(study: Mapping[str, Any]) -> dict[str, Any]:
    """Return the study's part of what `glam ablate --json` prints: {study, versions, verdicts}."""
    rows = [
        {
            "comparison": f"{comparison['a']} vs {comparison['b']}",
            **{name: result[name] for name in ("domain", "difference", "low", "high", "verdict")},
        }
        for comparison in study["comparisons"]
        for result in comparison["results"]
    ]
    return {"study": study["id"], "versions": study["versions"], "verdicts": rows}
