"""Finds what a report is asked of: a study, a run, or a dataset version."""

from __future__ import annotations

from pipelines.store.errors import GlamError
from pipelines.store.files import exists, join, list_folders, read_json
from pipelines.store.versions import find_version
from trainer.ablation.report.data import ReportData, run_report, study_report, version_report

SHORTEST_PREFIX = 4


def find_report(reference: str, store_url: str) -> ReportData:
    """Return the report of what `reference` names.

    Args:
        reference: a study file (its newest result in the store), a study's id, prefix or name, a run's folder, or the
            id, prefix or name of a dataset version; looked for in this order.
        store_url: the store.

    Raises:
        GlamError: when nothing is named so.
    """
    if reference.endswith(".toml"):
        return study_report(read_json(_study_path(_name_in(reference), store_url, reference)), store_url)
    if exists(join(reference, "run.json")):
        return run_report(reference, store_url)
    found = _matching_studies(reference, store_url)
    if found:
        return study_report(read_json(found[-1]), store_url)
    return version_report(find_version(store_url, reference), store_url)


def _name_in(path: str) -> str:
    from trainer.ablation.study import load_study

    return load_study(path).study.name


def _study_path(name: str, store_url: str, reference: str) -> str:
    found = _matching_studies(name, store_url)
    if not found:
        raise GlamError(
            f"{reference}: the study {name!r} has no result in {store_url}; run it first: "
            f"glam ablate {reference} --store {store_url}"
        )
    return found[-1]


def _matching_studies(reference: str, store_url: str) -> list[str]:
    """Return the study.json of studies with this id, prefix of an id, or name, oldest first."""
    base = join(store_url, "studies")
    found = []
    for identifier in list_folders(base):
        path = join(base, identifier, "study.json")
        if not exists(path):
            continue
        study = read_json(path)
        prefixed = len(reference) >= SHORTEST_PREFIX and identifier.startswith(reference)
        if prefixed or study["name"] == reference:
            found.append((study["created"], path))
    return [path for _, path in sorted(found)]
