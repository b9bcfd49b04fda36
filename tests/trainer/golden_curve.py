"""The loss curve that the demo's small mixture of experts has to follow on the demo's unfiltered corpus.

    python -m tests.trainer.golden_curve        # records tests/trainer/golden_curve.json again

Record it again when a change means to alter training or the demo's text, and say in the commit why the curve moved.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from pipelines.build import build
from pipelines.config import load_corpus_config
from pipelines.progress import SilentDisplay
from pipelines.store.files import write_json
from pipelines.store.versions import Version
from trainer.config import load_training_config
from trainer.loop import train
from trainer.metrics import read_metrics

RECORDED = Path(__file__).with_name("golden_curve.json")
CONFIGS = Path(__file__).parents[2] / "configs"
STEPS, POINT = 60, 10
"""Updates, and how many of them a point of the curve is the mean of."""


def demo_corpus(store: str) -> Version:
    """Build the demo's version `unfiltered`, which takes no classifier."""
    corpus = load_corpus_config(str(CONFIGS / "demo.toml"))
    versions = {"unfiltered": corpus.versions["unfiltered"]}
    made = build(corpus.model_copy(update={"quality": None, "versions": versions}), store, [], SilentDisplay())
    return made.versions["unfiltered"]


def curves(version: Version, run_dir: str) -> dict[str, list[float]]:
    """Train; return cross-entropy and auxiliary loss, a mean for every `POINT` updates."""
    overrides = [f"training.steps={STEPS}", "training.checkpoint_every=0"]
    train(version, load_training_config(str(CONFIGS / "training" / "demo.toml"), overrides), run_dir)
    records = read_metrics(f"{run_dir}/metrics.jsonl")
    return {name: _points([record[name] for record in records]) for name in ("loss", "auxiliary")}


def _points(values: list[float]) -> list[float]:
    return [round(sum(values[at : at + POINT]) / POINT, 4) for at in range(0, len(values), POINT)]


def record() -> dict[str, Any]:
    """Build, train and write the curve."""
    with tempfile.TemporaryDirectory() as folder:
        version = demo_corpus(f"{folder}/store")
        found = {"version": version.id, "steps": STEPS, "point": POINT, **curves(version, f"{folder}/run")}
    write_json(str(RECORDED), found)
    return found


if __name__ == "__main__":
    print(json.dumps(record()))
