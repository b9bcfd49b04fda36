"""The corpus sections of a report, from the manifests of dataset versions and of the stages that made them.

In: `Version`s of one store. Out: plain dictionaries for the template: the way of the documents, the scores with pages
to read, the mixture, the stages' bill.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pipelines.store.files import exists, join, list_folders, read_json
from pipelines.store.versions import Version
from trainer.ablation.report.charts import histogram

SCORE_UNITS = 1 << 16
CLASSIFIER = "classifier"

Manifest = dict[str, Any]


def stage_manifests(store_url: str, versions: Sequence[Version]) -> list[Manifest]:
    """Return the manifests of all stages of some versions and of the classifiers that scored their pages, each once; a
    stage that was deleted is left out."""
    references = dict.fromkeys(reference for version in versions for reference in version.manifest["stages"])
    paths = [join(store_url, "stages", reference, "manifest.json") for reference in references]
    found = [read_json(path) for path in paths if exists(path)]
    return [*found, *_classifiers(store_url, found)]


def _classifiers(store_url: str, manifests: Sequence[Manifest]) -> list[Manifest]:
    """Return the manifests of the classifiers whose models some stages used."""
    used = {manifest["inputs"].get(CLASSIFIER) for manifest in manifests} - {None}
    base = join(store_url, "stages", CLASSIFIER)
    paths = [join(base, name, "manifest.json") for name in list_folders(base)] if used else []
    made = {manifest["output_id"]: manifest for manifest in (read_json(path) for path in paths if exists(path))}
    return [made[output] for output in sorted(used & made.keys())]


def source_components(versions: Iterable[Version]) -> dict[str, str]:
    """Return the component of every source."""
    return {
        source["source"]: source["component"]
        for version in versions
        for source in version.manifest["recipe"]["sources"]
    }


def document_flow(versions: Sequence[Version], manifests: Sequence[Manifest]) -> list[dict[str, Any]]:
    """Follow each source's records and documents into each version, step by step.

    Args:
        versions: whose documents to follow.
        manifests: of their stages; those of extraction tell how many documents were copies.

    Returns:
        Rows {source, component, stage, unit, in, dropped: [(reason, n)], out, tokens_in, tokens_out, estimated,
        versions}: a step that all versions share stands once.
    """
    components = source_components(versions)
    copies = _copies(manifests)
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for version in versions:
        for source, entry in version.manifest["ledger"].items():
            steps = {
                "extract": _extraction(entry, copies.get(source, 0)),
                **{name: _step(part) for name, part in entry["stages"].items()},
            }
            _estimate_tokens(steps, entry["stages"])
            for stage, step in steps.items():
                row = {"source": source, "component": components.get(source, ""), "stage": stage, "versions": []}
                rows.setdefault((source, stage), row | step)["versions"].append(version.name)
    order = {source: number for number, (source, _) in enumerate(rows)}
    return sorted(rows.values(), key=lambda row: order[row["source"]])


def _copies(manifests: Sequence[Manifest]) -> dict[str, int]:
    """Return by source how many documents were found more than once, and left out, in extraction."""
    ledgers = (manifest["ledger"] for manifest in manifests if manifest["stage"] == "extract")
    return {source: entry["documents"]["copies"] for ledger in ledgers for source, entry in ledger.items()}


def _extraction(entry: dict[str, Any], copies: int) -> dict[str, Any]:
    records = entry["records"]
    dropped = dict(records["skipped"])
    if records["quarantined"]:
        dropped["quarantined"] = records["quarantined"]
    if copies:
        dropped["copies"] = copies
    return {
        "in": records["read"],
        "dropped": sorted(dropped.items()),
        "out": entry["documents"]["in"],
        "unit": "records → documents",
        "tokens_in": None,
        "tokens_out": None,
        "estimated": False,
    }


def _step(entry: dict[str, Any]) -> dict[str, Any]:
    dropped = sorted((reason, number) for reason, number in entry["dropped"].items() if number)
    tokens = entry["tokens"] or {"in": None, "out": None}
    return {
        "in": entry["in"],
        "dropped": dropped,
        "out": entry["out"],
        "unit": "documents",
        "tokens_in": tokens["in"],
        "tokens_out": tokens["out"],
        "estimated": False,
    }


def _estimate_tokens(steps: dict[str, dict[str, Any]], stages: dict[str, Any]) -> None:
    """Put tokens where nothing was tokenized yet: the bytes, at the tokens a byte of the documents that stayed."""
    stayed = stages["holdout"]
    if not stayed["bytes"]["in"]:
        return
    came = round(stages["deduplicate"]["bytes"]["in"] * stayed["tokens"]["in"] / stayed["bytes"]["in"])
    steps["extract"] |= {"tokens_out": came, "estimated": True}
    steps["deduplicate"] |= {"tokens_in": came, "tokens_out": stayed["tokens"]["in"], "estimated": True}


def heldout_rows(versions: Sequence[Version]) -> list[dict[str, Any]]:
    """Return documents, tokens and bytes that were held out of each source; versions of one corpus share them."""
    if not versions:
        return []
    return [
        {
            "source": source,
            **{name: entry[name] for name in ("component", "out_of_domain", "documents", "tokens", "bytes")},
        }
        for source, entry in versions[0].manifest["heldout"].items()
    ]


def mixture(versions: Sequence[Version], tokens_trained: int | None) -> list[dict[str, Any]]:
    """Return each version's components with weight, size and, for a training of so many tokens, epochs."""
    tables = []
    for version in versions:
        rows = []
        for name, part in version.manifest["components"].items():
            row = {
                "component": name,
                **{key: part[key] for key in ("weight", "variant", "documents", "records", "tokens")},
            }
            row["epochs"] = (
                part["weight"] * tokens_trained / part["tokens"] if tokens_trained and part["tokens"] else None
            )
            rows.append(row)
        rows.sort(key=lambda row: (-row["weight"], row["component"]))
        total = sum(row["tokens"] for row in rows)
        tables.append({"name": version.name, "id": version.id, "rows": rows, "tokens": total})
    return tables


def scores(manifests: Sequence[Manifest]) -> dict[str, Any] | None:
    """Return the classifier's figures, the score histograms by source, and the sampling with pages to read.

    None when nothing was scored.
    """
    quality = _summary(manifests, "quality")
    if quality is None:
        return None
    histograms = [
        {"source": source, "documents": sum(counts), "bars": histogram(counts)}
        for source, counts in sorted(quality["histogram"].items())
        if sum(counts)
    ]
    sample = _summary(manifests, "sample")
    return {
        "auc": quality.get("auc"),
        "folds": quality["folds"],
        "histograms": histograms,
        "sample": None if sample is None else _sampling(sample),
    }


def _sampling(summary: dict[str, Any]) -> dict[str, Any]:
    figures = {name: summary[name] for name in ("alpha", "on", "kept", "dropped")}
    total = summary["kept"] + summary["dropped"]
    pages = [
        {"kept": side == "kept", "share": page["score"] / SCORE_UNITS, **{k: page[k] for k in ("url", "title", "text")}}
        for side in ("kept", "dropped")
        for page in summary["samples"][side]
    ]
    pages.sort(key=lambda page: (-page["share"], page["text"]))
    return figures | {"share": summary["kept"] / total if total else 0.0, "pages": pages}


def _summary(manifests: Sequence[Manifest], stage: str) -> dict[str, Any] | None:
    return next((manifest["summary"] for manifest in manifests if manifest["stage"] == stage), None)


def stage_bill(manifests: Sequence[Manifest]) -> list[dict[str, Any]]:
    """Return what each stage took when it was computed: {stage, detail, seconds, cpu_seconds, bytes}."""
    rows = []
    for manifest in manifests:
        recipe = manifest["recipe"]
        detail = recipe.get("source") or " ".join(str(recipe[key]) for key in ("component", "variant") if key in recipe)
        size = sum(file["size"] for file in manifest["files"])
        side = {name: manifest["side"][name] for name in ("seconds", "cpu_seconds")}
        rows.append({"stage": manifest["stage"], "detail": detail, "bytes": size, **side})
    return rows
