"""Mix: packed components by weight become a dataset version.

A version holds its shards as files of its own (hard links where the file system has them), so that it can be read,
copied and verified by itself. Nothing is
encoded or packed here: two versions that differ in one component share all other bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pipelines.account import read_account
from pipelines.corpus import Corpus
from pipelines.documents import VARIANT_JOBS
from pipelines.store.errors import GlamError
from pipelines.store.files import FileDigest, StoreError, digest_file, exists, join, link_or_copy
from pipelines.store.stages import FinishedStage, StoredFile, merkle_root, read_manifest
from pipelines.store.versions import Version, publish_version, version_id
from pipelines.tokenize import MODEL_PATH


class MixtureError(GlamError):
    """The mixture cannot be made of what there is; the message names the component and the remedy."""


TOKENIZER_FACTS = ("vocabulary_size", "token_dtype", "document_start_id", "padding_id")
"""What a version's manifest says of its tokenizer."""

Packed = Mapping[tuple[str, str], FinishedStage]
"""The `pack` stage of each (component, variant)."""


def publish(
    corpus: Corpus,
    name: str,
    tokenizer: FinishedStage,
    packed: Packed,
    heldout: FinishedStage,
    account: FinishedStage,
    compared: tuple[FinishedStage, FinishedStage] | None = None,
) -> Version:
    """Publish the dataset version `name`.

    Where its files are there already, only the manifest is written again: what it tells beside the id (ledger, stages,
    names) is that of this build.

    Args:
        corpus: the corpus with all its decisions.
        name: of the version.
        tokenizer: the finished tokenizer.
        packed: the packed components.
        heldout: the packed held-out documents.
        account: what became of every document.
        compared: the n-grams of evaluation sets and the version's table of contamination, if there are any.

    Raises:
        MixtureError: when a component has no training documents.
    """
    config = corpus.config
    variants = {component: config.versions[name].get(component, "all") for component in sorted(config.mixture)}
    chosen = {component: packed[component, variant] for component, variant in variants.items()}
    files: list[tuple[str, StoredFile]] = []
    components = {}
    for component, stage in chosen.items():
        variant = variants[component]
        components[component] = {"weight": config.weights()[component], "variant": variant} | _take(
            files, stage, variant, f"train/{component}", ("records", "tokens", "documents", "tokens_cut")
        )
        if not components[component]["records"]:
            raise MixtureError(
                f"version {name}: component {component!r} has no training documents; give its sources more text, lower "
                f"select.min_characters or holdout.share, or take mixture.{component} out"
            )
    held = {}
    for source in sorted(corpus.documents):
        figures = ("records", "tokens", "documents", "bytes")
        entry = _take(files, heldout, source, f"heldout/{source}", figures)
        if entry["records"]:
            facts = {"component": config.sources[source].component, "out_of_domain": source in config.holdout.sources}
            held[source] = facts | entry
    files += [(f"{tokenizer.url}/{MODEL_PATH}", StoredFile(**f)) for f in tokenizer.manifest["files"]]
    recipe = config.version_recipe(name)
    identifier = version_id(recipe, merkle_root([file.to_json() for _, file in files]))
    url = join(corpus.store.url, "versions", identifier)
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    if exists(join(url, "manifest.json")):
        side = read_manifest(url, "version")["side"]
    else:
        side = {"created": now, "names": {}}
        for source_url, file in files:
            _check_sound(source_url, file)
            link_or_copy(source_url, join(url, file.path))
    decisions = [stage for job, stage in corpus.decisions.items() if job != "training"]
    stages = [*corpus.documents.values(), *decisions, tokenizer, account, heldout, *chosen.values()]
    stages += compared or ()
    ledger = version_ledger(corpus, read_account(account), variants)
    licences = {source: config.sources[source].licence for source in sorted(config.sources)}
    body = {
        "name": name,
        "id": identifier,
        "recipe": recipe,
        "sequence_length": config.pack.sequence_length,
        **{key: tokenizer.summary[key] for key in TOKENIZER_FACTS},
        "components": components,
        "heldout": held,
        "tokenizer": MODEL_PATH,
        "ledger": ledger,
        "contamination": compared and compared[1].summary["tasks"],
        "stages": sorted(f"{stage.stage}/{stage.fingerprint}" for stage in stages),
        "side": {
            "config": config.name,
            "created": side["created"],
            "names": side["names"] | {name: now},
            "mixture_limits": config.mixture_limits.model_dump(),
            "licences": licences,
            "licence_totals": licence_totals(licences, ledger, held),
        },
    }
    return publish_version(url, [file for _, file in files], body)


def licence_totals(
    licences: Mapping[str, str], ledger: Mapping[str, Any], heldout: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Roll the licences of sources up into a version.

    Args:
        licences: by source.
        ledger: of the version.
        heldout: its held-out documents, by source.

    Returns:
        By licence its sources, and documents trained on, documents held out and tokens trained on (before any cut).
    """
    totals: dict[str, dict[str, Any]] = {}
    for source, entry in sorted(ledger.items()):
        total = totals.setdefault(licences[source], {"sources": [], "documents": 0, "heldout": 0, "tokens": 0})
        total["sources"].append(source)
        total["documents"] += entry["documents"]["out"]
        total["heldout"] += heldout[source]["documents"] if source in heldout else 0
        if entry["documents"]["out"]:
            *_, last = entry["stages"].values()
            total["tokens"] += last["tokens"]["out"]
    return dict(sorted(totals.items()))


def _check_sound(url: str, file: StoredFile) -> None:
    """Refuse to publish a stage's file that was changed since the stage was finished."""
    if digest_file(url) != FileDigest(file.size, file.sha256):
        folder = url.split("/stages/")[0] + "/stages/" + "/".join(url.split("/stages/")[1].split("/")[:2])
        raise StoreError(f"{url}: its bytes are not those its stage wrote; delete {folder} and build again")


def _take(
    files: list[tuple[str, StoredFile]], stage: FinishedStage, prefix: str, folder: str, figures: tuple[str, ...]
) -> dict[str, Any]:
    """Add a set of shards to the version's files, and return its figures and shards."""
    shards = []
    for entry in stage.manifest["files"]:
        if entry["path"].startswith(f"{prefix}/"):
            path = f"{folder}/{entry['path'].removeprefix(f'{prefix}/')}"
            files.append((join(stage.url, entry["path"]), StoredFile(**{**entry, "path": path})))
            if path.endswith(".tfrecord"):
                shards.append(path)
    return {figure: stage.summary[prefix][figure] for figure in figures} | {"shards": sorted(shards)}


def version_ledger(corpus: Corpus, account: Mapping[str, Any], variants: Mapping[str, str]) -> dict[str, Any]:
    """Follow every source's documents from extraction into a version with these variants.

    Returns:
        {source: {"records": …, "documents": {"in", "out", "dropped": {reason: n}}, "stages": {stage: {"in", "out",
        "dropped"}}}}.
    """
    ledger = {}
    for source in sorted(corpus.documents):
        extracted = corpus.documents[source].ledger[source]
        component = corpus.config.sources[source].component
        variant = variants.get(component, "all")
        decided = [job for job in ("deduplicate", "holdout", "decontaminate") if job in corpus.decisions]
        jobs = [*decided, *VARIANT_JOBS[variant]]
        stages: dict[str, Any] = {}
        dropped: dict[str, int] = {}
        remaining = extracted["documents"]["out"]
        for job in jobs:
            counts = corpus.decisions[job].ledger[source]["documents"]
            if counts["in"] != remaining:
                raise MixtureError(
                    f"{job}, source {source}: {counts['in']} documents came in, {remaining} were sent: a defect"
                )
            measures = account[source][job]
            stages[job] = counts | {"bytes": measures["bytes"], "tokens": measures.get("tokens")}
            remaining = counts["out"]
            dropped |= counts["dropped"]
        if component not in variants:
            dropped["not_in_mixture"], remaining = remaining, 0
        ledger[source] = {
            "records": extracted["records"],
            "documents": {"in": extracted["documents"]["out"], "out": remaining, "dropped": dropped},
            "stages": stages,
        }
    return ledger


if __name__ == "__main__":
    from pipelines.job import main

    main("mix")
