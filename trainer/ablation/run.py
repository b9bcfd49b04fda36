"""Runs a study: corpora, search of learning rates, trainings, scores, comparisons, report. It computes nothing twice.

    study file ─▶ builds ─▶ versions ─▶ searches ─▶ runs (arm × seed), side by side ─▶ study.json, report.html
                                                          └▶ fine-tunings (run × task) ─┘

A run's folder is STORE/runs/ID, ID the first digits of the sha256 over version id, settings, seed, code and libraries:
finished runs are found, stopped ones go on, and a change of any of these starts another run. A study's id is that of
its runs and comparisons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipelines.build import Build, build
from pipelines.progress import Display
from pipelines.store.code_identity import code_identity
from pipelines.store.files import exists, is_local, join, read_json, write_json
from pipelines.store.hashing import sha256_json
from pipelines.store.stages import FinishedStage
from pipelines.store.versions import Version
from trainer.ablation.differences import check_configurations, prove
from trainer.ablation.fine_tuning.jobs import fine_tuning_jobs, is_fine_tuned, study_parts
from trainer.ablation.fine_tuning.parts import Parts
from trainer.ablation.fine_tuning.summary import summarize_fine_tuning
from trainer.ablation.report.data import study_report
from trainer.ablation.report.page import write_page
from trainer.ablation.run_pool import Job, StudyError, train_side_by_side
from trainer.ablation.run_record import DOMAINS_FILE, RUN_ID_DIGITS
from trainer.ablation.search import in_words, outcome, tried
from trainer.ablation.study import LoadedStudy
from trainer.ablation.summary import summarize
from trainer.config import TrainingConfig
from trainer.mixture import check_repetition
from trainer.run_folder import read_run, run_identity

REPORT_FILE = "report.html"
STUDY_FILE = "study.json"


@dataclass(frozen=True)
class Made:
    """What a study was made of.

    Attributes:
        versions: the dataset version of each arm.
        stages: of all builds, each once.
    """

    versions: dict[str, Version]
    stages: list[FinishedStage]


def run_study(
    loaded: LoadedStudy, store_url: str, beam_options: Sequence[str], display: Display
) -> tuple[dict[str, Any], Made]:
    """Run a study, or find it in the store.

    Args:
        loaded: the study and its configurations.
        store_url: the store, a folder of this machine.
        beam_options: of the corpus builds.
        display: shows progress.

    Returns:
        The content of study.json, which lies beside report.html in STORE/studies/ID, and what was built.

    Raises:
        GlamError: with a message for the user.
    """
    if not is_local(store_url):
        raise StudyError(f"{store_url}: a study trains on this machine; give --store a local folder")
    check_configurations(loaded)
    made = build_corpora(loaded, store_url, beam_options, display)
    differences = [prove(loaded, c, made.versions[c.a], made.versions[c.b]) for c in loaded.study.comparisons]
    loaded, searched = tune(loaded, made.versions, store_url, display)
    for arm, config in loaded.trainings.items():
        version = made.versions[arm]
        for warning in check_repetition(version, _resolved(loaded, config, version)):
            display.say(f"  arm {arm}: {warning}")
    jobs = plan_runs(loaded, made.versions, store_url)
    parts = study_parts(loaded)
    identifier = study_id(loaded, made.versions, jobs, searched, parts)
    folder = join(store_url, "studies", identifier)
    path = join(folder, STUDY_FILE)
    if exists(path):
        display.say(f"  study {loaded.study.name} {identifier}: found, not computed again")
        study = read_json(path)
    else:
        train_missing(jobs, loaded, display)
        tuned = fine_tuning_jobs(loaded, jobs, made.versions, parts, store_url)
        train_missing(tuned, loaded, display, lambda job: is_fine_tuned(job, parts))
        study = summarize(loaded, identifier, made.versions, jobs, differences, searched)
        if loaded.study.fine_tuning is not None:
            study["fine_tuning"] = summarize_fine_tuning(loaded, parts, tuned)
        write_json(path, study)
    write_page(study_report(study, store_url), join(folder, REPORT_FILE))
    return study, made


def build_corpora(loaded: LoadedStudy, store_url: str, beam_options: Sequence[str], display: Display) -> Made:
    """Build the corpus of every arm; what corpora share is built once."""
    builds: list[Build] = []
    versions = {}
    for arm, corpus in loaded.corpora.items():
        made = next((made for made in builds if made.config == corpus), None)
        if made is None:
            made = build(corpus, store_url, beam_options, display)
            builds.append(made)
        versions[arm] = made.versions[loaded.trainings[arm].version]
    stages = {f"{stage.stage}/{stage.fingerprint}": stage for made in reversed(builds) for stage in made.stages}
    return Made(versions, list(stages.values()))


def tune(
    loaded: LoadedStudy, versions: Mapping[str, Version], store_url: str, display: Display
) -> tuple[LoadedStudy, dict[str, Any] | None]:
    """Return the study with the learning rates that its search chose, and what the search found by arm; the study as
    it is and None without one.
    """
    search = loaded.study.search
    if search is None:
        return loaded, None
    jobs = {
        arm: [
            {**_job(loaded, arm, trial, versions[arm], search.seed, store_url), "score": False}
            for trial in tried(search, config).values()
        ]
        for arm, config in loaded.trainings.items()
    }
    train_missing([job for of_arm in jobs.values() for job in of_arm], loaded, display)
    found = {arm: outcome(of_arm) for arm, of_arm in jobs.items()}
    for arm, entry in found.items():
        display.say(f"  {in_words(arm, entry)}")
    trainings = {
        arm: config.changed({"optimizer": {"learning_rate": found[arm]["chosen"]}}, loaded.path)
        for arm, config in loaded.trainings.items()
    }
    return replace(loaded, trainings=trainings), found


def plan_runs(loaded: LoadedStudy, versions: Mapping[str, Version], store_url: str) -> list[Job]:
    """Return the job of every arm and seed; all arms of a seed come before the next seed. The first run of an arm with
    experts reads documents for their load."""
    first, documents = loaded.study.seeds[0], loaded.study.expert_documents
    return [
        {
            **_job(loaded, arm, config, versions[arm], seed, store_url),
            "expert_documents": documents if seed == first and config.model.experts else 0,
        }
        for seed in loaded.study.seeds
        for arm, config in loaded.trainings.items()
    ]


def _job(loaded: LoadedStudy, arm: str, training: TrainingConfig, version: Version, seed: int, store_url: str) -> Job:
    config = _resolved(loaded, training, version)
    identity = run_identity(version.id, config, seed)
    return {
        "run_dir": join(store_url, "runs", sha256_json(identity)[:RUN_ID_DIGITS]),
        "arm": arm,
        "version": version.url,
        "config": config.model_dump(),
        "seed": seed,
        "tokens": config.training.steps * config.training.batch_rows * version.sequence_length,
        "score": True,
        "expert_documents": 0,
    }


def _resolved(loaded: LoadedStudy, config: TrainingConfig, version: Version) -> TrainingConfig:
    """Return what decides a run of a study."""
    return config.resolved(version.sequence_length, loaded.study.backend)


def is_trained(job: Job) -> bool:
    """Tell whether a run is finished and scored as its job asks."""
    run_dir = job["run_dir"]
    finished = exists(join(run_dir, "run.json")) and read_run(run_dir)["finished"]
    scored = exists(join(run_dir, "heldout.parquet")) and exists(join(run_dir, "evaluation.json"))
    read = exists(join(run_dir, DOMAINS_FILE))
    return finished and (scored or not job["score"]) and (read or not job["expert_documents"])


def train_missing(
    jobs: Sequence[Job], loaded: LoadedStudy, display: Display, is_done: Callable[[Job], bool] = is_trained
) -> None:
    """Train and score the runs that are not finished; arms that are one and the same run are trained once."""
    missing = {job["run_dir"]: job for job in jobs if not is_done(job)}
    if found := len(jobs) - len(missing):
        display.say(f"  runs: {found} of {len(jobs)} found, not computed again")
    if missing:
        train_side_by_side(list(missing.values()), loaded.study.workers, display, loaded.study.backend)


def study_id(
    loaded: LoadedStudy,
    versions: Mapping[str, Version],
    jobs: Sequence[Job],
    searched: Mapping[str, Any] | None,
    parts: Mapping[str, Parts],
) -> str:
    """Return the study's id: of its text, searches, runs, fine-tunings, versions, and the code that compares them."""
    said = loaded.study.model_dump(include={"name", "title", "question", "seeds", "comparisons", "savings", "curated"})
    runs = [[job["arm"], job["run_dir"].rsplit("/", 1)[-1]] for job in jobs]
    ids = {arm: version.id for arm, version in versions.items()}
    code = code_identity("trainer.ablation.run")
    identity = {"study": said, "runs": runs, "versions": ids, "search": searched, "code": code}
    tuning = loaded.study.fine_tuning
    if tuning is not None:
        identity["fine_tuning"] = {
            "settings": tuning.model_dump(exclude={"catalogue", "data"}),
            "parts": {name: [of_task.digest, of_task.held_digest] for name, of_task in parts.items()},
        }
    return sha256_json(identity)[:RUN_ID_DIGITS]
