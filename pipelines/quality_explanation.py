"""Why a document has its score, and what became of it: from the files of a version's stages.

The models know words by their hashes alone, so the text is read again and its words and pairs looked up one by one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.contamination.cuts import text_without
from pipelines.documents import THRESHOLDS_PATH
from pipelines.folds import Folds, host_of, hosts_together, model_path, read_classifier
from pipelines.lookup import Place, VersionDocuments
from pipelines.store.files import StoreError, join, list_folders, read_bytes
from pipelines.store.stages import FinishedStage, read_manifest
from quality_filter.classifier import LinearClassifier, probability
from quality_filter.sampling import SCORE_UNITS

DOCUMENT_COLUMNS = ("source", "native_key", "url", "title", "language", "text")


def explain_text(classifier: LinearClassifier, text: str, limit: int) -> dict[str, Any]:
    """Return score and probability of a text and the `limit` features that weigh most in it.

    `logit` is the whole; the features not shown add `rest` to it.
    """
    contributions = classifier.explain(text, limit=len(text) + 2)
    shown = contributions[:limit]
    logit = sum(part.logit for part in contributions)
    score = int(classifier.score_batch([text])[0])
    return {
        "score": score,
        "probability": round(probability(score), 6),
        "logit": round(logit, 6),
        "features": [part._asdict() for part in shown],
        "rest": round(logit - sum(part.logit for part in shown), 6),
        "features_left": len(contributions) - len(shown),
    }


def classifier_stage(store_url: str, quality: FinishedStage) -> FinishedStage:
    """Return the `classifier` stage whose models a `quality` stage scored with.

    Raises:
        StoreError: when it was deleted.
    """
    wanted = quality.manifest["inputs"]["classifier"]
    base = join(store_url, "stages", "classifier")
    for fingerprint in list_folders(base):
        try:
            manifest = read_manifest(join(base, fingerprint), "stage")
        except StoreError:  # unfinished
            continue
        if manifest["output_id"] == wanted:
            return FinishedStage(join(base, fingerprint), manifest)
    raise StoreError(f"{base}: the models that scored this version are not there any more; build it again")


def explain_document(store_url: str, documents: VersionDocuments, place: Place, limit: int) -> dict[str, Any]:
    """Return what there is to tell of one document's score (docs/formats.md, `quality explain`).

    Raises:
        StoreError: when the version was made without scores, or its models were deleted.
    """
    if "quality" not in documents.jobs:
        raise StoreError(
            f"version {documents.version.name}: made without [quality]; name one with a filtered component"
        )
    (document,) = documents.documents([place], DOCUMENT_COLUMNS)
    quality = documents.decision_stage("quality")
    stage = classifier_stage(store_url, quality)
    decisions = {job: documents.decisions(job, [place])[0] for job in documents.jobs - {"tokenize"}}
    spans = decisions.get("decontaminate", {}).get("spans")
    folds = Folds(quality.manifest["recipe"]["seed"], stage.summary["folds"])
    hosts = hosts_together([document["source"]], [host_of(document["url"])], stage.manifest["recipe"]["scored_sources"])
    fold = int(folds.of(np.array([place.id], "V16"), hosts)[0])
    explained = explain_text(
        read_classifier(join(stage.url, model_path(fold))), text_without(document.pop("text"), spans), limit
    )
    decided = decisions["quality"]["score"]
    if decided is not None and decided != explained["score"]:
        raise StoreError(f"{place.id.hex()}: its score is not that of its model; delete {quality.url} and build again")
    return {
        "id": place.id.hex(),
        **document,
        **explained,
        "fold": fold,
        "folds": stage.summary["folds"],
        "scored": decided is not None,
        **_draw(documents, decided, decisions.get("sample", {})),
        "random": decisions.get("subset", {}).get("random"),
        "dropped": decisions["deduplicate"]["reason"],
        "split": decisions.get("decontaminate", decisions["holdout"])["split"],
    }


def pareto_draw(documents: VersionDocuments, score: int, decision: dict[str, Any]) -> dict[str, Any]:
    """Return the Pareto draw of a document: `on` (rank or score), `alpha`, `s` (that in 1/65,536), `U` (the draw) and
    `T` (the threshold T[s]) as 64-bit integers, and `keep`, which is U < T[s].
    """
    stage = documents.decision_stage("sample")
    table = np.frombuffer(read_bytes(join(stage.url, THRESHOLDS_PATH)), "<u8")
    on, alpha = (stage.manifest["recipe"][name] for name in ("on", "alpha"))
    s = decision["rank"] if on == "rank" else score
    return {"on": on, "alpha": alpha, "s": s, "U": decision["draw"], "T": int(table[s]), "keep": decision["keep"]}


def _draw(documents: VersionDocuments, score: int, decision: dict[str, Any]) -> dict[str, Any]:
    """Return rank, draw and threshold as shares of one, and what sampling decided; null where it did not."""
    if decision.get("keep") is None:
        return dict.fromkeys(("on", "alpha", "rank", "draw", "threshold", "keep"))
    drawn = pareto_draw(documents, score, decision)
    shares = {"rank": decision["rank"] / SCORE_UNITS, "draw": drawn["U"] / 2**64, "threshold": drawn["T"] / 2**64}
    return {"on": drawn["on"], "alpha": drawn["alpha"], **shares, "keep": drawn["keep"]}
