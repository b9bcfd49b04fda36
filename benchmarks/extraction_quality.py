"""Main-content extraction against gold texts, beside Resiliparse alone and trafilatura, on the same pages in one run.

    GLAM_CORPUS=DIR python benchmarks/extraction_quality.py [--rules] [--json]

Quality is that of the article extraction benchmark (github.com/scrapinghub/article-extraction-benchmark): shingles of
four words, counted; precision and recall averaged over pages, F1 of the two averages; intervals from 1,000 bootstrap
samples of pages. Segments (texts that must and must not be there) have precision and recall over all of them. Gold
texts of DIR/web are joined to the pages of DIR/web/pages-*.warc.gz by URL and hash.

When the rules were made, only pages of the half whose URL hashes to an even number were looked at; thresholds were
set with the figures of both halves in view. The odd half is reported by itself.

Speed: pages in memory to text and language, in pages per CPU second. `--rules` measures what each of our rules adds:
all rules but one.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from fastwarc.warc import ArchiveIterator, WarcRecordType
from figures import Figure, show
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from pipelines.charset import decode_html
from pipelines.html import extract_page
from pipelines.language import detect
from pipelines.main_content import Rules, main_content
from pipelines.text import normalize_text, normalize_title

NAME = "extraction_quality"
GOLD = {"articles": "gold_text", "readability": "gold_html", "segments": "gold_segments"}
GOAL_F1 = 0.93
GOAL_RATE = 250
SAMPLES = 1_000
SHINGLE = 4
_WORD = re.compile(r"\w+")

Extract = Callable[[bytes], str]


class Match(NamedTuple):
    """Shingles (or segments) of one page: in both texts, in the extracted one only, in the gold text only."""

    both: int
    extra: int
    missing: int


@dataclass(frozen=True)
class GoldPage:
    """A page and what must (and for segments, must not) be in its text."""

    url: str
    payload: bytes
    gold: Counter[tuple[str, ...]] | None = None
    segments: tuple[list[str], list[str]] | None = None

    @property
    def even(self) -> bool:
        """Is it of the half that was looked at when the rules were made."""
        return hashlib.blake2b(self.url.encode(), digest_size=1).digest()[0] % 2 == 0

    def match(self, text: str) -> Match:
        """Compare an extracted text with the gold."""
        if self.segments:
            spaced = " ".join(text.split())
            wanted, unwanted = (sum(" ".join(part.split()) in spaced for part in parts) for parts in self.segments)
            return Match(wanted, unwanted, len(self.segments[0]) - wanted)
        assert self.gold is not None
        found = shingles(text)
        both = (found & self.gold).total()
        return Match(both, found.total() - both, self.gold.total() - both)


def shingles(text: str) -> Counter[tuple[str, ...]]:
    """Return how often each run of four words occurs; a shorter text is one run."""
    words = _WORD.findall(text)
    return Counter(tuple(words[i : i + SHINGLE]) for i in range(max(1, len(words) - SHINGLE + 1)) if words)


def read_gold(web: Path) -> dict[str, list[GoldPage]]:
    """Return the pages with gold texts by set."""
    entries: dict[tuple[str, str], list[tuple[str, dict[str, Any]]]] = {}
    for name, file in GOLD.items():
        with gzip.open(web / f"{file}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for entry in map(json.loads, lines):
                kind = "newspaper4k" if "newspaper4k" in entry["source"] else name
                entries.setdefault((entry["url"], entry["sha256_html"]), []).append((kind, entry))
    pages: dict[str, list[GoldPage]] = {}
    for path in sorted(web.glob("pages-*.warc.gz")):
        for record in ArchiveIterator(str(path), record_types=WarcRecordType.response):
            url, payload = record.headers.get("WARC-Target-URI") or "", record.reader.read()
            for kind, entry in entries.pop((url, hashlib.sha256(payload).hexdigest()), []):
                page = (
                    GoldPage(url, payload, segments=(entry["with"], entry["without"]))
                    if kind == "segments"
                    else GoldPage(url, payload, gold=shingles(entry["text"]))
                )
                pages.setdefault(kind, []).append(page)
    if entries:
        raise SystemExit(f"{len(entries)} gold texts belong to no page of {web}/pages-*.warc.gz")
    return pages


def score(matches: Iterable[Match], pooled: bool) -> tuple[float, float, float]:
    """Return precision, recall and F1; of the averages over pages, or pooled over them."""
    counts = np.array(list(matches), dtype=float)
    return _score(counts, pooled)


def _score(counts: np.ndarray, pooled: bool) -> tuple[float, float, float]:
    if pooled:
        counts = counts.sum(axis=0, keepdims=True)
    both, extra, missing = counts.T
    precision = (both[both + extra > 0] / (both + extra)[both + extra > 0]).mean()
    recall = (both[both + missing > 0] / (both + missing)[both + missing > 0]).mean()
    return float(precision), float(recall), float(2 * precision * recall / (precision + recall))


def interval(matches: list[Match], pooled: bool) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of F1 over pages."""
    counts = np.array(matches, dtype=float)
    generator = np.random.default_rng(17)
    samples = [_score(counts[generator.integers(0, len(counts), len(counts))], pooled)[2] for _ in range(SAMPLES)]
    low, high = np.quantile(samples, (0.025, 0.975))
    return float(low), float(high)


def ours(payload: bytes) -> str:
    """Extract as the readers do."""
    return extract_page(payload).text


def resiliparse_alone(payload: bytes) -> str:
    """Extract by the library's own rules."""
    return extract_plain_text(decode_html(payload), main_content=True, alt_texts=False)


def with_rules(rules: Rules) -> Extract:
    """Return an extraction by some of our rules."""

    def extract(payload: bytes) -> str:
        tree = HTMLTree.parse(decode_html(payload))
        return normalize_text(main_content(tree, normalize_title(tree.title), rules))

    return extract


def systems() -> dict[str, Extract | None]:
    """Return what is compared; None where it is not installed."""
    found: dict[str, Extract | None] = {"ours": ours, "Resiliparse": resiliparse_alone}
    try:
        trafilatura = import_module("trafilatura")
    except ImportError:
        return found | {"trafilatura": None}
    precise: dict[str, Any] = {
        "favor_precision": True,
        "include_comments": False,
        "deduplicate": True,
    }  # as datatrove calls it
    return found | {
        "trafilatura": lambda payload: trafilatura.extract(decode_html(payload)) or "",
        "trafilatura, precise": lambda payload: trafilatura.extract(decode_html(payload), **precise) or "",
    }


def rules_without() -> dict[str, Extract | None]:
    """Return our extraction with all rules, without each, and with none."""
    names = ("no_comments", "prose_span", "no_title", "fall_back")
    chosen = {"all rules": Rules(), "no rule": Rules(**dict.fromkeys(names, False))}
    chosen |= {f"without {name}": Rules(**{name: False}) for name in names}
    return {name: with_rules(rules) for name, rules in chosen.items()}


def measure(name: str, extract: Extract, pages: dict[str, list[GoldPage]]) -> list[Figure]:
    """Return the figures of one system."""
    texts: dict[bytes, str] = {}
    payloads = list(dict.fromkeys(page.payload for group in pages.values() for page in group))
    start = time.process_time()
    for payload in payloads:
        texts[payload] = extract(payload)
        detect(texts[payload])
    rate = len(payloads) / (time.process_time() - start)
    figures = [
        *figures_of(name, "all texts", [page for kind in pages if kind != "segments" for page in pages[kind]], texts),
        *(figure for kind in pages for figure in figures_of(name, kind, pages[kind], texts)),
    ]
    goal = f">= {GOAL_RATE}" if name == "ours" else None
    holds = rate >= GOAL_RATE if goal else None
    speed = Figure(NAME, f"{name}: speed", rate, "pages / CPU s", goal, holds, f"{len(payloads)} pages")
    return [*figures, speed]


def figures_of(name: str, kind: str, pages: list[GoldPage], texts: dict[bytes, str]) -> list[Figure]:
    """Return F1 over a set of pages, and over its odd half, with precision, recall and interval as the note."""
    figures = []
    for label, chosen in ((kind, pages), (f"{kind}, odd half", [page for page in pages if not page.even])):
        matches = [page.match(texts[page.payload]) for page in chosen]
        precision, recall, f1 = score(matches, pooled=kind == "segments")
        low, high = interval(matches, pooled=kind == "segments")
        note = f"[{low:.3f}, {high:.3f}], precision {precision:.3f}, recall {recall:.3f}, {len(chosen)} pages"
        goal = f">= {GOAL_F1}" if name == "ours" and label == "all texts" else None
        holds = f1 >= GOAL_F1 if goal else None
        figures.append(Figure(NAME, f"{name}: {label}", f1, "F1", goal, holds, note))
    return figures


def main() -> None:
    """Measure and print."""
    corpus = os.environ.get("GLAM_CORPUS")
    if not corpus:
        show([Figure(NAME, "all", 0.0, "F1", note="GLAM_CORPUS is not set: no gold texts")])
        return
    pages = read_gold(Path(corpus) / "web")
    figures = []
    for name, extract in (rules_without() if "--rules" in sys.argv[1:] else systems()).items():
        if extract is None:
            figures.append(Figure(NAME, name, 0.0, "F1", note=f"not installed: pip install {name}"))
        else:
            figures += measure(name, extract, pages)
    show(figures)


if __name__ == "__main__":
    main()
