"""Gathers what a report shows into one dictionary, `ReportData`, from a version, a run, or a study.

A version gives the corpus sections; a run adds its learning curve, experts and cost; a study everything.
A section whose value is empty or None is left out of the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from pipelines.store.errors import GlamError
from pipelines.store.files import exists, join, list_folders, read_json
from pipelines.store.stages import read_manifest
from pipelines.store.versions import Version, find_version
from trainer.ablation.report import corpus
from trainer.ablation.report.bill import bill, needed
from trainer.ablation.report.charts import curves, forest
from trainer.ablation.report.domains import domain_scores
from trainer.ablation.report.tasks import task_scores
from trainer.ablation.run_record import STUDY_FORMAT, run_record

SHORTEST_PREFIX = 4


class ReportData(TypedDict):
    """What the template shows; study.json and the manifests have the figures behind it."""

    kind: str
    title: str
    question: str
    created: str
    curated: list[str]
    comparisons: list[dict[str, Any]]
    savings: list[dict[str, Any]]
    fine_tuning: dict[str, Any] | None
    search: dict[str, Any] | None
    flow: list[dict[str, Any]]
    heldout: list[dict[str, Any]]
    scores: dict[str, Any] | None
    mixture: list[dict[str, Any]]
    curves: dict[str, Any] | None
    experts: list[dict[str, Any]]
    domains: list[dict[str, Any]]
    tasks: dict[str, list[dict[str, Any]]] | None
    bill: dict[str, Any]
    provenance: dict[str, Any]


def version_report(version: Version, store_url: str) -> ReportData:
    """Return the report of a dataset version."""
    side = version.manifest["side"]
    question = f"Dataset version {version.name} of the corpus {side['config']}: what went in, what stayed, and why."
    facts = {"created": side["created"], "configuration": version.manifest["recipe"]}
    return _assemble("version", version.name, question, [version], store_url, [], facts)


def run_report(run_dir: str, store_url: str) -> ReportData:
    """Return the report of a run: its scores, learning curve and experts, and the corpus of its version."""
    record = run_record(run_dir)
    version = find_version(store_url, record["version"])
    question = f"A training on the dataset version {version.name}, seed {record['seed']}."
    facts = {"configuration": record["config"], "code": record["code"], "libraries": record["libraries"]}
    arms = [{"name": version.name, "version": version.name, "runs": [record], **record["cost"]}]
    name = run_dir.rstrip("/").rsplit("/", 1)[-1]
    data = _assemble("run", name, question, [version], store_url, arms, facts)
    data["domains"] = [found for found in (domain_scores(run_dir, version.name),) if found]
    data["tasks"] = task_scores(run_dir, version.name)
    return data


def study_report(study: Mapping[str, Any], store_url: str) -> ReportData:
    """Return the report of a study from the content of its study.json.

    Raises:
        GlamError: when another version of the program wrote it.
    """
    if study["format"] != STUDY_FORMAT:
        raise GlamError(
            f"study {study['id']}: format {study['format']}, this program reads {STUDY_FORMAT}; run it again, which "
            "finds its runs"
        )
    urls = [join(store_url, "versions", identifier) for identifier in dict.fromkeys(study["versions"].values())]
    versions = [Version(url, read_manifest(url, "version")) for url in urls]
    facts = {name: study[name] for name in ("created", "configuration", "code", "libraries", "machine")}
    facts |= {"study": study["id"], "search": study["search"], "fine_tuning": study.get("fine_tuning")}
    data = _assemble("study", study["title"], study["question"], versions, store_url, study["arms"], facts)
    data["fine_tuning"] = facts["fine_tuning"]
    tuned = data["fine_tuning"]["comparisons"] if data["fine_tuning"] else [{"results": []}] * len(study["comparisons"])
    data["comparisons"] = [
        _comparison(entry) | {"tuned": of_tasks["results"]}
        for entry, of_tasks in zip(study["comparisons"], tuned, strict=True)
    ]
    data["savings"] = list(study["savings"])
    data["curated"] = list(study["curated"])
    data["domains"] = [found for arm in study["arms"] if (found := _domains(arm, store_url))]
    data["tasks"] = _tasks_by_arm(study["arms"], store_url)
    return data


def _tasks_by_arm(arms: Sequence[Mapping[str, Any]], store_url: str) -> dict[str, list[dict[str, Any]]] | None:
    """Return the task scores of each arm's first run that has any; None where no task was scored."""
    found: list[dict[str, list[dict[str, Any]]]] = []
    for arm in arms:
        by_run = (task_scores(join(store_url, "runs", run["id"]), arm["name"]) for run in arm["runs"])
        found.append(next((scores for scores in by_run if scores), {"rows": [], "means": []}))
    both = {part: [row for scores in found for row in scores[part]] for part in ("rows", "means")}
    return both if both["rows"] else None


def any_report(reference: str, store_url: str) -> ReportData:
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


def _assemble(
    kind: str,
    title: str,
    question: str,
    versions: Sequence[Version],
    store_url: str,
    arms: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
) -> ReportData:
    manifests = corpus.stage_manifests(store_url, versions)
    tokens = max((run["tokens"] for arm in arms for run in arm["runs"]), default=None)
    return {
        "kind": kind,
        "title": title,
        "question": question,
        "created": str(facts.get("created", "")),
        "curated": [],
        "comparisons": [],
        "savings": [],
        "fine_tuning": None,
        "search": facts.get("search"),
        "flow": corpus.document_flow(versions, manifests),
        "heldout": corpus.heldout_rows(versions),
        "scores": corpus.scores(manifests),
        "mixture": corpus.mixture(versions, tokens),
        "curves": _curves(arms),
        "experts": _experts(arms),
        "domains": [],
        "tasks": None,
        "bill": _bill(versions, store_url, arms, facts),
        "provenance": _provenance(versions, arms, facts),
    }


def _comparison(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Sort a comparison's domains into gains, losses and those that the figures cannot tell."""
    results = [dict(result) for result in entry["results"]]
    told = [result for result in results if result["distinguishable"] and result["kind"] != "curated"]
    headline = next((result for result in results if result["kind"] == "curated"), results[0])
    return {
        **entry,
        "headline": headline,
        "gains": sorted((r for r in told if r["difference"] < 0), key=lambda r: r["difference"]),
        "losses": sorted((r for r in told if r["difference"] > 0), key=lambda r: -r["difference"]),
        "level": [r for r in results if not r["distinguishable"] and r["kind"] != "curated"],
        "results": results,
        "forest": forest(results),
    }


def _domains(arm: Mapping[str, Any], store_url: str) -> dict[str, Any] | None:
    """Return language modelling by domain of the arm's first run that has it: experts of two runs are not alike."""
    found = (
        domain_scores(join(store_url, "runs", run["id"]), f"{arm['name']}, seed {run['seed']}") for run in arm["runs"]
    )
    return next((scores for scores in found if scores), None)


def _curves(arms: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    series = [{"name": arm["name"], "runs": [run["curve"] for run in arm["runs"]]} for arm in arms]
    return curves(series) if any(run for entry in series for run in entry["runs"]) else None


def _experts(arms: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the load of the experts by arm and mixture layer, busiest first, in units of an even share.

    An expert's number means nothing across runs, so each run's experts are put in order of load before the mean.
    """
    tables = []
    for arm in arms:
        loads = [run["expert_load"] for run in arm["runs"] if run["expert_load"]]
        if not loads:
            continue
        dropped = [run["dropped_share"] for run in arm["runs"]]
        layers = []
        for number, layer in enumerate(zip(*loads, strict=True)):
            ordered = zip(*(sorted(run, reverse=True) for run in layer), strict=True)
            even = 1 / len(layer[0])
            layers.append({"layer": 2 * number, "loads": [sum(shares) / len(shares) / even for shares in ordered]})
        tables.append({"arm": arm["name"], "layers": layers, "dropped": sum(dropped) / len(dropped)})
    return tables


def _bill(
    versions: Sequence[Version], store_url: str, arms: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]
) -> dict[str, Any]:
    of_version = {v.id: needed(v, corpus.stage_bill(corpus.stage_manifests(store_url, [v]))) for v in versions}
    every = corpus.stage_bill(corpus.stage_manifests(store_url, versions))
    gpu = facts.get("machine", {}).get("backend") == "gpu"
    tuned = (facts.get("fine_tuning") or {"arms": []})["arms"]
    return bill(every, of_version, arms, facts.get("search"), tuned, gpu)


def _provenance(
    versions: Iterable[Version], arms: Iterable[Mapping[str, Any]], facts: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "versions": [
            {"name": version.name, "id": version.id, "output_id": version.manifest["output_id"]} for version in versions
        ],
        "licences": next((version.manifest["side"].get("licences", {}) for version in versions), {}),
        "runs": [
            {"arm": arm["name"], **{name: run[name] for name in ("seed", "id", "weights", "loss", "steps", "tokens")}}
            for arm in arms
            for run in arm["runs"]
        ],
        "facts": dict(facts),
    }
