"""Fine-tunings of a study's runs: what is to be done, and how a worker does it.

A job is that of a run (`trainer.ablation.worker`) with {"fine_tuning": {"task", "parent" (the run's folder), "data"
(file of prompts and answers), "catalogue" and "sets" (folders), "settings" (of the study), "digest"}}. The fine-tuned
run lies in STORE/runs/ID, ID the first digits of its fingerprint, which its parent's weights, the data's bytes and the
settings decide. Importing this module does not import JAX.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.store.errors import GlamError
from pipelines.store.files import exists, join
from pipelines.store.hashing import sha256_json
from pipelines.store.versions import Version
from trainer.ablation.energy import train_metered
from trainer.ablation.fine_tuning.parts import Parts, open_parts
from trainer.ablation.fine_tuning.scoring import score_held, scores_path
from trainer.ablation.run_pool import Job
from trainer.ablation.run_record import RUN_ID_DIGITS
from trainer.ablation.study import LoadedStudy, beside
from trainer.ablation.study_parts import StudyFineTuning
from trainer.evaluation.task import Catalogue
from trainer.fine_tuning.recipe import origin_identity, tuned_config
from trainer.run_folder import read_run, run_identity


def study_parts(loaded: LoadedStudy) -> dict[str, Parts]:
    """Return the parts of every task that a study fine-tunes on; none without fine-tuning.

    Raises:
        GlamError: when a task has no examples, or too few.
    """
    tuning, catalogue = loaded.study.fine_tuning, loaded.catalogue
    if tuning is None or catalogue is None:
        return {}
    folder = sets_folder(tuning, catalogue)
    return {name: open_parts(name, catalogue, folder, tuning.train_share) for name in tuning.tasks}


def sets_folder(tuning: StudyFineTuning, catalogue: Catalogue) -> str | None:
    """Return the folder of the tasks' files."""
    return tuning.data or os.environ.get("GLAM_EVAL") or catalogue.folder


def fine_tuning_jobs(
    loaded: LoadedStudy,
    runs: Sequence[Job],
    versions: Mapping[str, Version],
    parts: Mapping[str, Parts],
    store_url: str,
) -> list[Job]:
    """Return a job for every finished run and task; all tasks of a run, then the next run's."""
    tuning, catalogue = loaded.study.fine_tuning, loaded.catalogue
    if tuning is None or catalogue is None:
        return []
    files = {name: of_task.write(store_url) for name, of_task in parts.items()}
    shared = {
        "catalogue": beside(loaded.path, tuning.catalogue),
        "sets": sets_folder(tuning, catalogue),
        "settings": tuning.model_dump(),
    }
    jobs = []
    for run in runs:
        version = versions[run["arm"]]
        settings = tuning.settings(run["seed"])
        weights = read_run(run["run_dir"])["result"]["weights"]
        config = tuned_config(run["config"], settings, {}, loaded.path)
        config = config.resolved(version.sequence_length, loaded.study.backend)
        for name, of_task in parts.items():
            origin = origin_identity(weights, of_task.digest)
            identity = run_identity(version.id, config, run["seed"], origin)
            jobs.append(
                {
                    "run_dir": join(store_url, "runs", sha256_json(identity)[:RUN_ID_DIGITS]),
                    "arm": run["arm"],
                    "version": run["version"],
                    "config": config.model_dump(),
                    "seed": run["seed"],
                    "tokens": tuning.steps * config.training.batch_rows * version.sequence_length,
                    "fine_tuning": {
                        "task": name,
                        "parent": run["run_dir"],
                        "data": files[name],
                        "digest": of_task.digest,
                        **shared,
                    },
                }
            )
    return jobs


def is_fine_tuned(job: Job, parts: Mapping[str, Parts]) -> bool:
    """Tell whether a fine-tuning is finished, and both its run and its parent's are scored."""
    run_dir, told = job["run_dir"], job["fine_tuning"]
    finished = exists(join(run_dir, "run.json")) and read_run(run_dir)["finished"]
    return finished and all(exists(scores_path(folder, parts[told["task"]])) for folder in (told["parent"], run_dir))


def work_on_task(job: Job, version: Version, on_step: Any, gpu: bool) -> None:
    """Score a run on the held part of a task, fine-tune it on the other, and score what came of it.

    Raises:
        GlamError: when the task's files are no longer those of the study.
    """
    from trainer.fine_tuning.fine_tune import fine_tune, prepare

    told = job["fine_tuning"]
    tuning = StudyFineTuning.model_validate(told["settings"])
    parts = open_parts(told["task"], Catalogue(told["catalogue"]), told["sets"], tuning.train_share)
    if parts.digest != told["digest"]:
        raise GlamError(f"{told['sets']}: the files of {told['task']} changed while the study ran; run it again")
    prepared = prepare(told["parent"], version, told["data"], tuning.settings(job["seed"]), {})
    score_held(told["parent"], version, prepared.config, parts, gpu)
    train_metered(job["run_dir"], gpu, on_step, lambda told_of: fine_tune(prepared, job["run_dir"], told_of))
    score_held(job["run_dir"], version, prepared.config, parts, gpu)
