"""The whole job on real text against brute force: every pair compared, components by union, one document at a time."""

from __future__ import annotations

import bz2
import os
import re
from itertools import combinations
from pathlib import Path

import pytest

from benchmarks.near_duplicate_corpus import jaccard
from tests.demo_text import news
from tests.pipelines.near_duplicates.corpora import Decisions, Document, deduplicate
from tests.pipelines.near_duplicates.test_components import brute_force
from tests.pipelines.near_duplicates.test_words_and_shingles import reference_words

Shingles = set[tuple[str, ...]]


def shingles_of(text: str) -> Shingles:
    words = reference_words(text)
    return {tuple(words[place : place + 5]) for place in range(len(words) - 4)}


def with_edits(texts: list[str], changed: str) -> list[Document]:
    """Each text, and of every third a copy in which 1, 2, 3 … characters are changed, spread over the text."""
    documents = [Document(f"{place:04d}", text) for place, text in enumerate(texts)]
    for place in range(0, len(texts), 3):
        characters = list(texts[place])
        edits = place // 3 % 12
        for edit in range(edits):
            characters[(2 * edit + 1) * len(characters) // (2 * edits)] = changed
        documents.append(Document(f"{place:04d}-edited", "".join(characters)))
    return documents


def check_against_brute_force(documents: list[Document], decided: Decisions) -> int:
    """Compare decisions with those of all pairs at once; return how many documents were removed."""
    by_id = {document.id("web"): document for document in documents}
    shingles = {identifier: shingles_of(document.text) for identifier, document in by_id.items()}
    ids = sorted(by_id)
    similar = {
        frozenset((ids[a], ids[b]))
        for a, b in combinations(range(len(ids)), 2)
        if by_id[ids[a]].text == by_id[ids[b]].text or jaccard(shingles[ids[a]], shingles[ids[b]]) >= 0.8
    }
    numbers = {identifier: number for number, identifier in enumerate(ids)}
    roots = brute_force([tuple(sorted(numbers[one] for one in pair)) for pair in similar])
    staying: list[bytes] = []
    for identifier in sorted(ids, key=lambda i: (-len(by_id[i].text), i)):
        linked = [kept for kept in staying if frozenset((kept, identifier)) in similar]
        reason, representative, similarity = decided.rows[identifier]
        assert (reason is None) == (not linked), by_id[identifier].key
        assert representative == (linked[0] if linked else identifier)
        same = by_id[representative].text == by_id[identifier].text
        expected = 1.0 if same else jaccard(shingles[representative], shingles[identifier])
        assert similarity == pytest.approx(expected, abs=1e-6)
        assert decided.clusters[identifier][0] == ids[roots.get(numbers[identifier], numbers[identifier])]
        staying += [] if linked else [identifier]
    return len(ids) - len(staying)


def test_decisions_on_news_are_those_of_brute_force(tmp_path: Path) -> None:
    documents = with_edits([text[:800] for text in news()[:240]], "§ ")
    assert check_against_brute_force(documents, deduplicate(tmp_path, {"web": documents})) > 30


@pytest.mark.parametrize(("dump", "letters"), [("ja", "[ぁ-ヿ一-鿿]"), ("zh", "[一-鿿]")])
def test_decisions_on_pages_in_scripts_without_spaces_are_those_of_brute_force(
    tmp_path: Path, dump: str, letters: str
) -> None:
    corpus = os.environ.get("GLAM_CORPUS")
    if not corpus:
        pytest.skip("GLAM_CORPUS is not set: no Wikipedia dumps in Japanese and Chinese")
    markup = bz2.decompress((Path(corpus) / "wikipedia" / f"{dump}wiki-minidump.xml.bz2").read_bytes()).decode()
    lines = [line for line in markup.splitlines() if len(re.findall(letters, line)) > 60]
    assert len(lines) > 20
    documents = with_edits(lines[:300], "変")
    assert check_against_brute_force(documents, deduplicate(tmp_path, {"web": documents})) >= len(lines[:300]) // 9
