"""A small corpus of made text and an evaluation set of which some examples were written into its documents."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.near_duplicate_corpus import make_corpus
from pipelines.build import STEPS, Build, build
from pipelines.config import CorpusConfig
from pipelines.progress import SilentDisplay

PAGES = [" ".join(text.split()[:150]) for text in make_corpus(60, seed=5, mean_words=200, copied=0).texts.values()]
EXAMPLES = [" ".join(text.split()[:30]) for text in make_corpus(8, seed=6, mean_words=60, copied=0).texts.values()]
CLEAN = len(EXAMPLES) - 3
"""The first examples stand in no document, the last three do."""

INJECTED = {3: EXAMPLES[-1], 4: EXAMPLES[-1].upper(), 5: EXAMPLES[-2].replace(" ", ", "), 6: EXAMPLES[-3]}
"""Page: what stands in its middle."""


def write(folder: Path) -> None:
    """Write `pages.jsonl` and `task.jsonl`."""
    pages = []
    for number, text in enumerate(PAGES):
        words = text.split()
        inside = [INJECTED[number]] if number in INJECTED else []
        whole = " ".join([*words[:75], *inside, *words[75:]])
        pages.append({"id": str(number), "url": f"http://site{number}.example/", "text": whole})
    (folder / "pages.jsonl").write_text("\n".join(map(json.dumps, pages)))
    (folder / "task.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in EXAMPLES))


def build_made(
    folder: Path, /, beam_options: Sequence[str] = (), until: str = STEPS[-1], **decontaminate: object
) -> Build:
    """Build the corpus in `folder` with these settings of decontamination."""
    sets = {
        "task": {"files": ["{folder}/task.jsonl"], "fields": ["text"]},
        "absent": {"files": ["{folder}/absent.jsonl"], "fields": ["text"]},
    }
    values = {
        "name": "made",
        "sources": {"pages": {"component": "web", "reader": "jsonl", "files": [str(folder / "pages.jsonl")]}},
        "extract": {"shards": 2},
        "select": {"min_characters": 50},
        "holdout": {"share": 0, "minimum": 0},
        "decontaminate": {"folder": str(folder), "sets": sets} | decontaminate,
        "tokenizer": {"vocabulary_size": 400},
        "pack": {"sequence_length": 64, "shards": 2},
        "mixture": {"web": {"weight": 1}},
        "versions": {"all": {}},
    }
    return build(CorpusConfig.model_validate(values), str(folder / "store"), beam_options, SilentDisplay(), until)
