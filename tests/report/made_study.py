"""A store with two dataset versions, their stages and a study, written by the project's own writers.

The figures are made up in the shape of a real demo; no corpus is built and no model is trained here.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.store.files import join, write_bytes, write_json
from pipelines.store.stages import FinishedStage, StageKey, Store, StoredFile, merkle_root
from pipelines.store.versions import Version, publish_version, version_id
from trainer.ablation.domains import domains
from trainer.ablation.machine import describe_machine
from trainer.ablation.run_record import STUDY_FORMAT
from trainer.ablation.saving import Priced, match
from trainer.ablation.scores import DocumentScores, score_domains
from trainer.ablation.statistics import compare

HOSTILE_TEXT = (
    'Free <script>document.title = "broken"</script>'
    '<img src="http://192.0.2.1/x.png" onerror="document.title=\'broken\'">'
    "</p></article></main><style>body{display:none}</style> & more"
)
SOURCES = {
    "formasaurus": "web",
    "enwiki": "wikipedia",
    "lee": "news",
    "lee-test": "news",
    "plays": "books",
    "dialogues": "conversations",
    "quotations": "forums",
}
WEIGHTS = {"web": 0.42, "conversations": 0.28, "books": 0.2, "wikipedia": 0.06, "forums": 0.02, "news": 0.02}
HELD_OUT = {"formasaurus": 61, "enwiki": 17, "lee": 45, "lee-test": 50, "plays": 117, "dialogues": 9, "quotations": 130}
EFFECTS = {"formasaurus": 0.06, "enwiki": -0.03, "lee": -0.028, "lee-test": -0.026, "plays": -0.02, "dialogues": 0.004}
SEEDS = [0, 1, 2]


def make_study(folder: Path) -> dict:
    """Write a store and return the content of its study.json."""
    store = Store(str(folder))
    stages = _stages(store)
    versions = {name: _version(store, name, variant, stages) for name, variant in VARIANTS.items()}
    scores = {arm: _scores(arm) for arm in VARIANTS}
    found = domains({s: (c, s == "lee-test") for s, c in SOURCES.items()}, ["wikipedia", "books", "news"])
    compared = []
    for b in ("random", "unfiltered"):
        results = compare(scores["filtered"], scores[b], found, resamples=400)
        rows = [{**result.to_json(), "verdict": result.verdict("filtered", b)} for result in results]
        sides = ({"variant": v, "documents": 225, "tokens": 90_000} for v in ("filtered", VARIANTS[b]))
        web = dict(zip("ab", sides, strict=True)) | {"part": "web"}
        compared.append(
            {
                "a": "filtered",
                "b": b,
                "claim": CLAIMS[b],
                "differ": [],
                "results": rows,
                "differences": {"training": [], "data": [web]},
            }
        )
    study = {
        "format": STUDY_FORMAT,
        "kind": "study",
        "id": "5" * 32,
        "name": "demo",
        "title": "Do quality-filtered web pages train a better model?",
        "question": "Three corpora differ in nothing but their web pages. The same tiny GLaM is trained on each.",
        "created": "2026-11-23T20:00:00+00:00",
        "versions": {name: version.id for name, version in versions.items()},
        "seeds": SEEDS,
        "curated": ["wikipedia", "books", "news"],
        "arms": [_arm(name, versions[name]) for name in VARIANTS],
        "comparisons": compared,
        "savings": [_saving(scores)],
        "search": dict.fromkeys(VARIANTS, SEARCH),
        "configuration": {"corpus": {"name": "demo", "seed": 17}, "trainings": {}},
        "code": "c" * 64,
        "libraries": {"jax": "0.10.2", "numpy": "2.4.0"},
        "machine": describe_machine() | {"backend": "cpu"},
        "fine_tuning": _fine_tuning(),
    }
    write_json(join(store.url, "studies", study["id"], "study.json"), study)
    return study


VARIANTS = {"filtered": "filtered", "random": "random", "unfiltered": "all"}
CLAIMS = {
    "random": "At equal size, filtered pages teach more than random ones",
    "unfiltered": "Filtered pages teach more than all the pages together",
}


SEARCH = {
    "chosen": 0.1,
    "losses": [[0.05, 4.9], [0.1, 4.8], [0.2, None]],
    "at_end": False,
    "took": {"runs": 3, "seconds": 30.0, "cpu_seconds": 29.0, "flops": 10**12, "tokens": 300_000},
}


def _fine_tuning() -> dict:
    """Every arm fine-tuned on one task of 300 examples; two runs were measured by counters, the third was not."""
    figures = {"seconds": 12.0, "cpu_seconds": 11.5, "flops": 10**11, "tokens": 20_000}
    runs = [
        {"id": f"{seed}7" * 16, "parent": "1" * 32, "seed": seed, "steps": 100, "loss": 0.9, "weights": "f" * 64}
        | figures
        | {"joules": None if seed == 2 else 150.0, "evaluation": figures | {"joules": 40.0}}
        for seed in SEEDS
    ]
    scores = {
        "before": {"score": 26.0, "low": 21.0, "high": 31.0},
        "after": {"score": 34.5, "low": 29.0, "high": 40.0},
        "gain": {"score": 8.5, "low": 2.0, "high": 15.0},
    }
    row = {"difference": 2.1, "low": -1.0, "high": 5.2, "by_seed": [1.0, 2.0, 3.3], "bootstrap_low": 0.2}
    row |= {"bootstrap_high": 4.1, "seeds_needed": 9, "distinguishable": False}
    row |= {"verdict": "not distinguishable (would need about 9 seeds)"}
    results = [{"task": "sciq", "stage": stage, **row} for stage in scores]
    return {
        "train_share": 0.7,
        "steps": 100,
        "batch_rows": 8,
        "learning_rate": 0.02,
        "tasks": [
            {"task": "sciq", "title": "SciQ", "trained_on": 210, "held": 90, "data": "d" * 64}
            | {"chance": 25.0, "majority": None}
        ],
        "arms": [{"arm": arm, "task": "sciq", **scores, "runs": runs} for arm in VARIANTS],
        "comparisons": [{"a": "filtered", "b": b, "results": results} for b in ("random", "unfiltered")],
    }


def _saving(scores: dict) -> dict:
    """As if `filtered` and `random` were two sizes of one model: the second has a match, the first has none."""
    curated = domains({s: (c, s == "lee-test") for s, c in SOURCES.items()}, ["wikipedia", "books", "news"])[:1]
    (by_arm,) = score_domains(scores, curated, 400)
    saver = [Priced("random", 1e12, by_arm["random"]), Priced("filtered", 4e12, by_arm["filtered"])]
    between = replace(by_arm["random"], by_seed=by_arm["random"].by_seed - 0.01)
    targets = [Priced("unfiltered", 3e12, between), Priced("random", 3e12, by_arm["unfiltered"])]
    results = [
        {
            "axis": axis,
            "domain": "curated",
            "kind": "curated",
            "matches": [match(saver, target).to_json() for target in targets],
            "trend": {"times": 0.8, "low": 0.5, "high": 1.3, "sizes": 2.0},
        }
        for axis in ("flops", "tokens")
    ]
    claim = "Filtered pages cost less at equal scores"
    return {
        "saver": ["random", "filtered"],
        "reference": ["unfiltered", "random"],
        "claim": claim,
        "axes": ["flops", "tokens"],
        "results": results,
    }


def _stages(store: Store) -> dict[str, FinishedStage]:
    def stage(
        name: str, recipe: dict, summary: dict, ledger: dict | None = None, inputs: dict | None = None
    ) -> FinishedStage:
        opened = store.begin(StageKey(name, recipe, inputs or {}, ("pipelines.store.hashing",)))
        digest = write_bytes(opened.path("out"), name.encode() * 1000)
        return opened.finish([StoredFile.of("out", digest)], summary=summary, ledger=ledger)

    def page(title: str | None, score: float, text: str) -> dict:
        return {"url": "http://example.org/a", "title": title, "score": int(score * 65536), "text": text}

    samples = {
        "kept": [
            page("A history of bread", 0.62, "Bread is among the oldest prepared foods. " * 8),
            page(None, 0.48, HOSTILE_TEXT),
        ],
        "dropped": [
            page("Log in", 0.41, "User name\nPassword\nForgot your password?\nRemember me"),
            page("<script>alert(1)</script>", 0.4, "Contact us\nFirst name *\nLast name *\nE-mail *\nMessage *"),
        ],
    }
    histogram = [210, 120, 60, 41, 30, 22, 18, 14, 11, 12, 9, 8, 10, 7, 6, 8, 9, 12, 17, 21]
    classifier = stage("classifier", {}, {})  # of which the version tells by what scored its pages alone
    scored = {"auc": 0.981, "folds": 5, "histogram": {"formasaurus": histogram}}
    return {
        **{
            f"extract {source}": stage(
                "extract", {"source": source}, {}, {source: {"documents": {"copies": 7, "out": 918}}}
            )
            for source in SOURCES
        },
        "deduplicate": stage("deduplicate", {}, {}),
        "quality": stage("quality", {}, scored, inputs={"classifier": classifier.output_id}),
        "sample": stage("sample", {}, {"alpha": "3", "on": "rank", "kept": 225, "dropped": 370, "samples": samples}),
        "pack": stage("pack", {"component": "web", "variant": "filtered"}, {}),
    }


def _version(store: Store, name: str, variant: str, stages: dict[str, FinishedStage]) -> Version:
    recipe = {"variant": variant, "sources": [{"source": s, "component": c} for s, c in SOURCES.items()]}
    files = [StoredFile.of("train/part", write_bytes(join(store.url, "draft"), variant.encode()))]
    tokens = {"web": 90_000 if variant != "all" else 240_000}
    components = {
        component: {
            "weight": weight,
            "variant": variant if component == "web" else "all",
            "documents": 225 if component == "web" else 300,
            "records": 700,
            "tokens": tokens.get(component, 60_000),
            "tokens_cut": 0,
            "shards": [],
        }
        for component, weight in WEIGHTS.items()
    }
    body = {
        "name": name,
        "id": version_id(recipe, merkle_root([file.to_json() for file in files])),
        "recipe": recipe,
        "sequence_length": 128,
        "vocabulary_size": 4096,
        "token_dtype": "uint16",
        "tokenizer": "tokenizer/tokenizer.model",
        "components": components,
        "heldout": {
            source: {
                "component": SOURCES[source],
                "out_of_domain": source == "lee-test",
                "records": documents * 3,
                "documents": documents,
                "tokens": documents * 300,
                "bytes": documents * 1200,
                "shards": [],
            }
            for source, documents in HELD_OUT.items()
        },
        "ledger": {source: _ledger(source, variant) for source in SOURCES},
        "stages": [f"{stage.stage}/{stage.fingerprint}" for stage in stages.values()],
        "side": {
            "config": "demo",
            "created": "2026-11-23T19:58:00+00:00",
            "names": {name: "2026-11-23"},
            "licences": {"enwiki": "CC BY-SA 3.0"},
        },
    }
    return publish_version(join(store.url, "versions", body["id"]), files, body)


def _ledger(source: str, variant: str) -> dict:
    stages = {
        "deduplicate": {"in": 918, "out": 656, "dropped": {"language": 152, "near_duplicate": 34, "too_short": 76}},
        "holdout": {"in": 656, "out": 595, "dropped": {"heldout": 61}},
    }
    if source == "formasaurus" and variant == "filtered":
        stages["sample"] = {"in": 595, "out": 225, "dropped": {"pareto": 370}}
    for name, counts in stages.items():
        counts["bytes"] = _times(counts, 3000)
        counts["tokens"] = None if name == "deduplicate" else _times(counts, 1000)
    records = {"read": 954, "used": 925, "skipped": {"no_text": 28}, "quarantined": 1}
    return {"records": records, "documents": {"in": 918, "out": 225, "dropped": {}}, "stages": stages}


def _times(counts: dict, factor: int) -> dict:
    dropped = {reason: factor * number for reason, number in counts["dropped"].items()}
    return {"in": factor * counts["in"], "out": factor * counts["out"], "dropped": dropped}


def _scores(arm: str) -> list[dict[str, DocumentScores]]:
    shift = {"filtered": 0.0, "random": 1.0, "unfiltered": -1.5}[arm]
    runs = []
    for seed in SEEDS:
        noise = np.random.default_rng([seed, len(arm)])
        run = {}
        for number, (source, documents) in enumerate(HELD_OUT.items()):
            texts = np.random.default_rng(number)
            lengths = texts.integers(300, 4000, documents)
            rate = texts.normal(2.6, 0.3, documents) - shift * EFFECTS.get(source, 0.0)
            run[source] = DocumentScores(lengths * (rate + noise.normal(0, 0.02, documents)), lengths)
        runs.append(run)
    return runs


def _arm(name: str, version: Version) -> dict:
    end = {"filtered": 4.9, "random": 4.95, "unfiltered": 5.05}[name]
    runs = []
    for seed in SEEDS:
        curve = [
            [1024 * 2 * n, round(end + 3.4 * float(np.exp(-n / 22)) + 0.02 * np.sin(n + seed), 4)]
            for n in range(1, 126)
        ]
        runs.append(
            {
                "id": f"{seed}{len(name)}" * 16,
                "seed": seed,
                "weights": "e" * 64,
                "steps": 250,
                "tokens": 256_000,
                "loss": end,
                "seconds": 24.1 + seed,
                "cpu_seconds": 23.9,
                "flops": 957_087_744_000,
                "curve": curve,
                "expert_load": [[0.31, 0.22, 0.26, 0.21], [0.25, 0.27, 0.18, 0.3]],
                "dropped_share": 0.021,
                "evaluation": {"seconds": 5.2, "cpu_seconds": 5.1, "tokens": 130_000, "flops": 162_000_000_000},
            }
        )
    return {"name": name, "version": version.id, "parameters": 689_728, "active": 558_656, "runs": runs}
