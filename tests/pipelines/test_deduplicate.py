"""The whole job, documents to decisions, on real Beam."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.near_duplicate_corpus import NearDuplicateCorpus, jaccard, make_corpus, word_shingles
from pipelines import deduplicate as deduplicate_job
from pipelines import extract
from pipelines.config import CorpusConfig
from pipelines.corpus import Corpus
from pipelines.engine import Engine
from pipelines.near_duplicates.settings import DeduplicateSettings
from pipelines.store.stages import FinishedStage, Store
from tests.pipelines.near_duplicates.corpora import Decisions, Document, deduplicate

PARALLEL = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
WORDS = [f"word{number}" for number in range(200)]


@pytest.fixture(scope="module")
def corpus() -> NearDuplicateCorpus:
    return make_corpus(320, seed=11, mean_words=200, copied=0.4)


@pytest.fixture(scope="module")
def decided(corpus: NearDuplicateCorpus, tmp_path_factory: pytest.TempPathFactory) -> Decisions:
    return deduplicate(tmp_path_factory.mktemp("store"), {"web": documents_of(corpus)})


def documents_of(corpus: NearDuplicateCorpus) -> list[Document]:
    return [Document(name, text) for name, text in corpus.texts.items()]


def reason_of(decisions: Decisions, source: str, document: Document) -> str | None:
    return decisions.rows[document.id(source)][0]


def text(*changes: int, words: int = 100) -> str:
    """A text of `words` words of which some are changed; each change in the middle costs five shingles."""
    return " ".join(f"other{place}" if place in changes else WORDS[place] for place in range(words))


def test_injected_near_duplicates_are_found_and_nothing_else(corpus: NearDuplicateCorpus, decided: Decisions) -> None:
    ids = {document.key: document.id("web") for document in documents_of(corpus)}
    gone = {name for name, identifier in ids.items() if decided.rows[identifier][0]}
    similar = [pair for pair in corpus.pairs if pair.similarity >= 0.8]
    expected = [pair for pair in similar if gone & {pair.base, pair.copy}]
    assert len(similar) > 40
    assert len(expected) >= 0.99 * len(similar)
    assert len(gone) == len(expected), "a document was removed that is in no pair of similarity 0.8"
    for pair in expected:
        removed, kept = (pair.base, pair.copy) if pair.base in gone else (pair.copy, pair.base)
        reason, representative, similarity = decided.rows[ids[removed]]
        assert representative == ids[kept]
        assert similarity == pytest.approx(pair.similarity, abs=1e-6)
        assert reason == ("exact_duplicate" if corpus.texts[removed] == corpus.texts[kept] else "near_duplicate")


def test_every_removed_document_has_a_representative_that_stays(decided: Decisions) -> None:
    for identifier, (reason, representative, similarity) in decided.rows.items():
        assert representative is not None
        assert decided.rows[representative][0] is None
        assert (reason is None) == (representative == identifier)
        assert reason != "exact_duplicate" or similarity == 1.0


def test_counts_agree_with_the_decisions(decided: Decisions) -> None:
    reasons = Counter(reason or "out" for reason, _, _ in decided.rows.values())
    counts = decided.counts["web"]
    assert {name: number for name, number in counts.items() if number and name != "in"} == reasons
    assert counts["in"] == len(decided.rows)
    assert decided.statistics["bucket_pairs_left_out"] == 0
    assert decided.statistics["pairs_compared"] >= decided.statistics["pairs_linked"] >= decided.statistics["clusters"]


def test_a_document_costs_at_most_1500_shuffled_bytes(decided: Decisions) -> None:
    assert 500 < decided.shuffled_bytes / len(decided.rows) < 1500


@pytest.mark.parametrize(("partitions", "reverse", "options"), [(2, False, []), (7, True, []), (16, True, PARALLEL)])
def test_decisions_are_the_same_bytes_however_the_work_is_spread(
    corpus: NearDuplicateCorpus,
    decided: Decisions,
    tmp_path: Path,
    partitions: int,
    reverse: bool,
    options: list[str],
) -> None:
    settings = DeduplicateSettings(partitions=partitions)
    again = deduplicate(tmp_path, {"web": documents_of(corpus)}, settings, reverse=reverse, options=options)
    assert again.digests == decided.digests
    assert again.statistics == decided.statistics


def test_decisions_do_not_depend_on_the_number_of_shards(
    corpus: NearDuplicateCorpus, decided: Decisions, tmp_path: Path
) -> None:
    assert deduplicate(tmp_path, {"web": documents_of(corpus)}, shards=1).rows == decided.rows


def test_the_component_named_first_keeps_its_document(tmp_path: Path) -> None:
    curated, copied, longer = Document("a", text()), Document("b", text()), Document("c", text(3) + " and more")
    sources = {"books": [curated], "crawl": [copied, longer]}
    components = {"books": "books", "crawl": "web"}
    settings = DeduplicateSettings(priority=["books", "web"])
    first = deduplicate(tmp_path / "1", sources, settings, components=components)
    assert reason_of(first, "books", curated) is None
    assert first.rows[copied.id("crawl")] == ("exact_duplicate", curated.id("books"), 1.0)
    assert first.rows[longer.id("crawl")][:2] == ("near_duplicate", curated.id("books"))
    settings = DeduplicateSettings(priority=["web", "books"])
    second = deduplicate(tmp_path / "2", sources, settings, components=components)
    assert reason_of(second, "crawl", longer) is None
    assert second.rows[curated.id("books")][:2] == ("near_duplicate", longer.id("crawl"))
    assert second.counts["books"] == {"in": 1, "out": 0, "near_duplicate": 1} | dict.fromkeys(
        ("language", "too_short", "exact_duplicate"), 0
    )


def test_only_eligible_documents_may_represent_a_cluster(tmp_path: Path) -> None:
    german, english = Document("a", text() + " lang", "de"), Document("b", text())
    short, copy = Document("c", "too short to stay"), Document("d", text())
    rows = deduplicate(tmp_path, {"web": [german, english, short, copy]}, languages=["en"], min_characters=50)
    assert rows.rows[german.id("web")] == ("language", None, None)
    assert rows.rows[short.id("web")] == ("too_short", None, None)
    kept, gone = sorted([english.id("web"), copy.id("web")])
    assert rows.rows[kept] == (None, kept, 1.0)
    assert rows.rows[gone] == ("exact_duplicate", kept, 1.0)


def test_of_a_chain_only_what_is_similar_to_a_document_that_stays_is_removed(tmp_path: Path) -> None:
    chain = [text(*range(20, 20 + 3 * step, 3), words=100 - step) for step in range(6)]
    documents = [Document(str(step), value) for step, value in enumerate(chain)]
    decided = deduplicate(tmp_path, {"web": documents})
    by_id = {document.id("web"): word_shingles(document.text) for document in documents}
    staying: list[bytes] = []
    for document in documents:  # the longest first
        identifier = document.id("web")
        similar = [kept for kept in staying if jaccard(by_id[kept], by_id[identifier]) >= 0.8]
        reason, representative, similarity = decided.rows[identifier]
        assert (reason, representative) == (("near_duplicate", similar[0]) if similar else (None, identifier))
        assert similarity == pytest.approx(jaccard(by_id[representative], by_id[identifier]), abs=1e-6)
        staying += [] if similar else [identifier]
    assert 1 < len(staying) < len(documents)
    assert set(decided.clusters.values()) == {(min(by_id), len(staying))}
    assert decided.statistics["pairs_with_first_compared"] > 0
    assert decided.statistics["pairs_with_first_linked"] == 0
    assert (decided.statistics["clusters"], decided.statistics["clusters_of_which_several_stay"]) == (1, 1)


def test_scripts_without_spaces_are_compared_by_characters(tmp_path: Path) -> None:
    sentence = "".join(chr(0x4E00 + (number * 37) % 3000) for number in range(200))
    changed = Document("b", sentence[:150] + "変" + sentence[151:])
    original = Document("a", sentence + "。")
    decided = deduplicate(tmp_path, {"web": [original, changed]})
    assert decided.rows[changed.id("web")][:2] == ("near_duplicate", original.id("web"))
    assert decided.rows[changed.id("web")][2] == pytest.approx(191 / 201, abs=1e-6)


def test_texts_of_fewer_than_five_words_are_only_exact_duplicates(tmp_path: Path) -> None:
    documents = [
        Document("a", "four words are here"),
        Document("b", "four words are here!"),
        Document("c", "four words are here"),
    ]
    decided = deduplicate(tmp_path, {"web": documents})
    assert Counter(reason for reason, _, _ in decided.rows.values()) == {None: 2, "exact_duplicate": 1}


def test_a_bucket_above_the_limit_stays_one_cluster_and_its_pairs_left_out_are_counted(tmp_path: Path) -> None:
    documents = [Document(str(place), text(place)) for place in range(5, 65)]
    settings = DeduplicateSettings(bucket_limit=16, bucket_neighbors=4)
    decided = deduplicate(tmp_path, {"web": documents}, settings)
    assert decided.statistics["bucket_pairs_left_out"] > 0
    assert decided.statistics["pairs_compared"] < 60 * 59 // 2
    assert Counter(reason for reason, _, _ in decided.rows.values()) == {None: 1, "near_duplicate": 59}


def test_too_few_rounds_fail_and_say_what_to_change(tmp_path: Path) -> None:
    chain = [text(*range(20, 20 + 3 * step, 3), words=150) for step in range(40)]
    documents = [Document(str(step), value) for step, value in enumerate(chain)]
    with pytest.raises(Exception, match=r"not final after 1 rounds; raise deduplicate\.rounds to 2"):
        deduplicate(tmp_path, {"web": documents}, DeduplicateSettings(rounds=1))


def test_an_empty_corpus_gives_empty_decisions(tmp_path: Path) -> None:
    decided = deduplicate(tmp_path, {"web": []}, shards=2)
    assert decided.rows == {}
    assert decided.counts["web"]["in"] == 0
    assert len(decided.digests) == 2


def test_real_pages_lose_their_copies_and_nothing_dissimilar(tmp_path: Path) -> None:
    if importlib.util.find_spec("gensim") is None:
        pytest.skip("gensim's news corpus is not installed; install the extra `demo`")
    (folder,) = importlib.util.find_spec("gensim").submodule_search_locations  # type: ignore[union-attr]
    news = (Path(folder) / "test" / "test_data" / "lee_background.cor").read_text(encoding="utf-8").splitlines()
    documents = [Document(str(place), line.strip()) for place, line in enumerate(news)]
    edited = [
        Document(f"{place}-again", news[place].strip().replace(" said ", " says ")) for place in range(0, 300, 10)
    ]
    decided = deduplicate(tmp_path, {"news": documents, "web": edited}, DeduplicateSettings(priority=["news"]))
    shingles = {
        d.id(source): word_shingles(d.text) for source, ds in (("news", documents), ("web", edited)) for d in ds
    }
    gone = {identifier: row for identifier, row in decided.rows.items() if row[0]}
    for representative, similarity in ((row[1], row[2]) for row in gone.values()):
        assert decided.rows[representative][0] is None
        assert similarity >= 0.8
    for identifier, (_, representative, similarity) in gone.items():
        assert similarity == pytest.approx(jaccard(shingles[identifier], shingles[representative]), abs=1e-6)
    for document, place in zip(edited, range(0, 300, 10), strict=True):
        true = jaccard(shingles[document.id("web")], shingles[documents[place].id("news")])
        assert (reason_of(decided, "web", document) is not None) == (true >= 0.8)


few_words = st.lists(st.sampled_from(["red", "green", "blue", "old", "new"]), min_size=1, max_size=8)
pages = st.tuples(
    st.sampled_from(["books", "crawl"]),
    st.integers(0, 2),
    st.sets(st.integers(0, 59), max_size=4),
    st.sampled_from(["en", "en", "en", "de"]),
)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(drawn=st.lists(pages, min_size=2, max_size=24), short=few_words)
def test_no_document_is_lost_with_all_its_copies(drawn: list, short: list[str]) -> None:
    """Copies and edits of three texts in two sources, some of a language that is not selected, some too short."""
    sources: dict[str, list[Document]] = {"books": [], "crawl": [Document("short", " ".join(short))]}
    for key, (source, base, changes, language) in enumerate(drawn):
        edited = [f"base{base}_{place}_{place in changes and key % 5}" for place in range(60)]
        sources[source].append(Document(str(key), " ".join(edited), language))
    with TemporaryDirectory() as folder:
        decided = deduplicate(Path(folder), sources, DeduplicateSettings(priority=["books"]), languages=["en"])
    by_id = {document.id(source): document for source, documents in sources.items() for document in documents}
    assert decided.rows.keys() == by_id.keys()
    for identifier, (reason, representative, similarity) in decided.rows.items():
        if by_id[identifier].language != "en":
            assert (reason, representative, decided.clusters[identifier]) == ("language", None, (None, None))
            continue
        assert decided.rows[representative] == (None, representative, 1.0)
        assert by_id[representative].language == "en"
        assert decided.clusters[representative] == decided.clusters[identifier]
        sets = [word_shingles(by_id[one].text) for one in (identifier, representative)]
        if reason == "near_duplicate":
            assert jaccard(*sets) >= 0.8
            assert similarity == pytest.approx(jaccard(*sets), abs=1e-6)
        else:
            assert by_id[identifier].text == by_id[representative].text


def test_as_a_stage_it_is_computed_once_and_spreading_the_work_otherwise_does_not_compute_it_again(
    tmp_path: Path,
) -> None:
    lines = [{"id": str(place), "text": value} for place, value in enumerate([text(), text(7), text() + " z", "short"])]
    (tmp_path / "pages.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    values = {
        "name": "small",
        "sources": {"pages": {"component": "web", "reader": "jsonl", "files": [str(tmp_path / "*.jsonl")]}},
        "mixture": {"web": {"weight": 1.0}},
        "versions": {"small": {}},
    }

    def run(**settings: object) -> FinishedStage:
        config = CorpusConfig.model_validate(values | {"deduplicate": settings})
        corpus = Corpus(config, Store(str(tmp_path / "store")), Engine())
        documents, _ = extract.run(corpus, lambda stage: stage)
        return deduplicate_job.run(replace(corpus, documents=documents))

    first = run()
    assert first.ledger == {
        "pages": {"documents": {"in": 4, "out": 1, "dropped": {"near_duplicate": 2, "too_short": 1}}}
    }
    assert first.summary["recall_at_threshold"] == pytest.approx(0.9977, abs=1e-4)
    assert first.summary["clusters"] == 1
    assert first.summary["bucket_pairs_left_out"] == 0
    again = run(partitions=3, rounds=5)
    assert again.reused
    assert again.output_id == first.output_id
    assert not run(threshold=0.97).reused
