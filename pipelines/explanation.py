"""Every verdict on a document, in the order of the jobs, from the files of a version's stages. It imports no Beam.

In: a version's documents and a URL, native key or the beginning of an id. Out: the answer of `glam explain`
(docs/formats.md): what each job decided of the document, up to the one that dropped it, and where it stands in the
version's shards; of a record that gave no document, why.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow.compute as pc

from pipelines.contamination.results import VersionContamination
from pipelines.documents import CHOICES, read_table
from pipelines.lookup import Place, VersionDocuments
from pipelines.packed_documents import segments_of
from pipelines.quality_explanation import explain_document, pareto_draw
from pipelines.store.files import join
from pipelines.store.hashing import part_name
from pipelines.verdicts import HELD_OUT, NOT_IN_MIXTURE, TRAIN, Verdicts

DESCRIPTION = ("url", "native_key", "title", "date", "language", "part", "raw_bytes", "text_bytes")
EXAMPLES_SHOWN = 5
SCORE_FIELDS = ("score", "probability", "logit", "features", "rest", "features_left", "fold", "folds")


class Explainer:
    """Explains documents of a version.

    Args:
        store_url: the store.
        documents: of the version.
        features: how many of the features behind a score to name.
    """

    def __init__(self, store_url: str, documents: VersionDocuments, features: int) -> None:
        self._store_url, self._documents, self._features = store_url, documents, features
        self._verdicts = Verdicts(documents)

    def explain(self, place: Place) -> dict[str, Any]:
        """Return what was decided of a document."""
        source, component = place.source, self._verdicts.component_of[place.source]
        (described,) = self._documents.documents([place], DESCRIPTION)
        steps = [self._extract(place, described)]
        jobs = self._verdicts.jobs(source)
        verdict, job = self._decide([name for name in jobs if name not in CHOICES], place, steps)
        steps += self._score(place)
        if verdict == TRAIN:
            verdict, job = self._decide([name for name in jobs if name in CHOICES], place, steps)
        if verdict == TRAIN and component not in self._documents.version.components:
            verdict, job = NOT_IN_MIXTURE, "mix"
        return {
            "id": place.id.hex(),
            "source": source,
            "component": component,
            **{name: described[name] for name in ("url", "native_key", "title", "date", "language")},
            "verdict": verdict,
            "dropped_at": None if verdict in (TRAIN, *HELD_OUT) else job,
            "steps": [*steps, *self._pack(place, verdict)],
        }

    def _decide(self, jobs: Iterable[str], place: Place, steps: list[dict[str, Any]]) -> tuple[str, str | None]:
        """Add what each job decided, as far as one that does not let the document pass; return its verdict and name."""
        for job in jobs:
            steps.append(self._decision(job, place))
            if (verdict := _verdict(job, steps[-1])) != TRAIN:
                return verdict, job
        return TRAIN, None

    def _extract(self, place: Place, described: dict[str, Any]) -> dict[str, Any]:
        stage = self._documents.sources[place.source]
        licences = self._documents.version.manifest["side"].get("licences", {})
        return {
            "step": "extract",
            "reader": stage.manifest["recipe"]["reader"],
            "copies": self._documents.provenance(place),
            "licence": licences.get(place.source, "unknown"),
            **{name: described[name] for name in ("part", "raw_bytes", "text_bytes")},
        }

    def _decision(self, job: str, place: Place) -> dict[str, Any]:
        (decision,) = self._documents.decisions(job, [place])
        if job == "deduplicate":
            return {"step": job, **self._duplicate(place, decision)}
        if job == "decontaminate":
            cut = decision.pop("spans")
            return {"step": job, **decision, "spans": len(cut or ()), "examples": self._matches(place)}
        if job == "sample":
            (scored,) = self._documents.decisions("quality", [place])
            return {"step": job, **pareto_draw(self._documents, scored["score"], decision)}
        return {"step": job, **decision}

    def _duplicate(self, place: Place, decision: dict[str, Any]) -> dict[str, Any]:
        kept = decision["representative"]
        named = None
        if kept is not None and kept != place.id:
            (other,) = self._documents.places_of([kept], self._documents.sources).values()
            (named,) = self._documents.documents([other], ["url", "native_key", "title"])
            named = {"id": kept.hex(), "source": other.source, **named}
        cluster = decision["cluster"] and decision["cluster"].hex()
        return {**decision, "cluster": cluster, "representative": kept and kept.hex(), "duplicate_of": named}

    def _matches(self, place: Place) -> list[dict[str, Any]]:
        """Return a few evaluation examples that a document shares n-grams with, and the lines where they stand."""
        stage = self._documents.decision_stage("decontaminate")
        name = part_name(place.shard, self._documents.count(place.source), ".parquet")
        table = read_table(join(stage.url, "matches", place.source, name), ["id", "example", "ngrams", "start", "end"])
        rows = table.filter(pc.equal(table["id"], place.id)) if table.num_rows else table
        found = rows.drop_columns(["id"]).slice(0, EXAMPLES_SHOWN).to_pylist()
        if not found:
            return []
        places = VersionContamination(self._store_url, self._documents.version).places([r["example"] for r in found])
        return [row | example for row, example in zip(found, places, strict=True)]

    def _score(self, place: Place) -> list[dict[str, Any]]:
        """Return the step `quality` of a document that has a score."""
        if "quality" not in self._documents.jobs or self._documents.decisions("quality", [place])[0]["score"] is None:
            return []
        explained = explain_document(self._store_url, self._documents, place, self._features)
        return [{"step": "quality", **{name: explained[name] for name in SCORE_FIELDS}}]

    def _pack(self, place: Place, verdict: str) -> list[dict[str, Any]]:
        """Return the steps `mix` and `pack` of a document that the version has."""
        version, component = self._documents.version, self._verdicts.component_of[place.source]
        if verdict == TRAIN:
            part = version.components[component]
            shards = part.shards
            facts = {"component": component, "variant": part.variant, "weight": part.weight, "tokens": part.tokens}
        elif verdict in HELD_OUT:
            held = version.heldout[place.source]
            shards = held.shards
            facts = {"component": component, "variant": None, "weight": None, "tokens": held.tokens}
        else:
            return []
        segments = segments_of(place.id, shards, version.token_dtype, version.manifest["recipe"]["seed"])
        pieces = [
            {**part._asdict(), "shard": part.shard.removeprefix(f"{version.url}/"), "id": place.id.hex()}
            for part in segments
        ]
        return [{"step": "mix", **facts}, {"step": "pack", "segments": pieces}]


def _verdict(job: str, step: dict[str, Any]) -> str:
    """Return `train` where a job lets a document pass, else its split or the reason."""
    if job in CHOICES:
        column, reason = CHOICES[job]
        return TRAIN if step[column] else reason
    return step["reason"] or TRAIN if job == "deduplicate" else step["split"]
