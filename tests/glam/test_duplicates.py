"""`glam duplicates` on a small corpus of invented pages: of what each is a duplicate, how similar, and what differs."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from benchmarks.near_duplicate_corpus import jaccard, make_corpus, word_shingles
from glam.main import app
from glam.word_diff import MOST_COMPARED, MOST_WORDS, word_diff
from pipelines.build import build
from pipelines.config import CorpusConfig
from pipelines.language import detect
from pipelines.progress import SilentDisplay
from pipelines.store.errors import GlamError

BASES = list(make_corpus(40, seed=9, mean_words=150, copied=0).texts.values())
CHANGED = " ".join([*BASES[0].split()[:70], "astonishing", *BASES[0].split()[71:]])
SPAM = "Kaufen Sie jetzt die besten Schuhe in unserem Laden, denn heute ist alles sehr viel billiger als gestern. " * 3


def page(number: int) -> str:
    return f"http://site{number}.example/page.html"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The store of a version `all`: 40 pages, an edited, a longer and an exact copy of the first, a short and a
    German one, and two pages of one address; and a source of one document, so that shards are empty.
    """
    folder = tmp_path_factory.mktemp("duplicates")
    texts = {page(number): text for number, text in enumerate(BASES)}
    texts |= {
        "http://edited.example/": CHANGED,
        "http://copy.example/": BASES[0],
        "http://short.example/": "Too short.",
    }
    texts |= {"http://longer.example/": f"{BASES[0]} and a few words more", "http://schuhe.example/": SPAM}
    lines = [{"id": str(n), "url": url, "text": text} for n, (url, text) in enumerate(texts.items())]
    lines += [{"id": f"again-{n}", "url": "http://twice.example/", "text": BASES[n][:600]} for n in (30, 31)]
    lines.append({"id": "damaged"})
    (folder / "pages.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "alone.txt").write_text("A text that is in no other source, and in a language that nobody has told. " * 3)
    values = {
        "name": "small",
        "sources": {
            "pages": {"component": "web", "reader": "jsonl", "files": [str(folder / "*.jsonl")]},
            "alone": {"component": "web", "reader": "text", "files": [str(folder / "*.txt")]},
        },
        "extract": {"shards": 3, "error_budget": 0.1},
        "select": {"languages": sorted({"unknown", *map(detect, BASES)} - {"de"}), "min_characters": 50},
        "tokenizer": {"vocabulary_size": 500},
        "pack": {"sequence_length": 64},
        "mixture": {"web": {"weight": 1}},
        "versions": {"all": {}},
    }
    build(CorpusConfig.model_validate(values), str(folder / "store"), [], SilentDisplay())
    return str(folder / "store")


def glam(store: str, of: str, *options: str):
    return CliRunner().invoke(app, ["duplicates", "all", "--of", of, "--store", store, *options])


def told(store: str, of: str) -> dict:
    done = glam(store, of, "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout.splitlines()[-1])
    (entry,) = answer["documents"]
    return entry


def test_a_near_duplicate_is_told_with_what_stays_how_similar_and_what_differs(store: str) -> None:
    entry = told(store, "http://edited.example/")
    assert entry["reason"] == "near_duplicate"
    assert entry["kept"]["url"] == "http://longer.example/"
    true = jaccard(word_shingles(CHANGED), word_shingles(f"{BASES[0]} and a few words more"))
    assert entry["jaccard"] == pytest.approx(true, abs=1e-6)
    assert {member["url"] for member in entry["members"]} == {page(0), "http://copy.example/", "http://longer.example/"}
    assert entry["members"][0]["reason"] is None
    assert (entry["cluster_size"], entry["cluster_stays"]) == (4, 1)
    assert entry["cluster"] == min([entry["id"], *(member["id"] for member in entry["members"])])
    hunks = entry["diff"]["hunks"]
    assert [hunk["removed"] for hunk in hunks if "astonishing" in hunk["removed"]] == ["astonishing"]
    assert hunks[-1]["added"].endswith("a few words more")


def test_explain_names_of_what_a_document_is_a_duplicate(store: str) -> None:
    entry = told(store, "http://edited.example/")
    done = CliRunner().invoke(app, ["explain", "all", "http://edited.example/", "--store", store, "--json"])
    (document,) = json.loads(done.stdout.splitlines()[-1])["documents"]
    extract, deduplicate = document["steps"]
    assert [copy["file"].rpartition("/")[2] for copy in extract["copies"]] == ["pages.jsonl"]
    assert (document["verdict"], document["dropped_at"]) == ("near_duplicate", "deduplicate")
    assert {name: deduplicate["duplicate_of"][name] for name in ("id", "url")} == {
        name: entry["kept"][name] for name in ("id", "url")
    }
    assert (deduplicate["jaccard"], deduplicate["cluster"]) == (entry["jaccard"], entry["cluster"])
    said = CliRunner().invoke(app, ["explain", "all", "http://edited.example/", "--store", store]).stdout
    named = f"near_duplicate of {entry['kept']['id']}  pages  http://longer.example/, Jaccard {entry['jaccard']:.4f}"
    assert f"  deduplicate   {named}\n  = dropped by deduplicate: near_duplicate" in said


def test_people_read_the_same_in_words(store: str) -> None:
    said = glam(store, "http://edited.example/").stdout
    entry = told(store, "http://edited.example/")
    assert f"removed as near_duplicate: Jaccard {entry['jaccard']:.4f} with the one that stays" in said
    assert "http://longer.example/" in said
    assert "[-astonishing-]" in said
    assert f"cluster {entry['cluster']}: 4 documents, 1 stay" in said


def test_a_document_that_stays_names_what_was_removed_for_it(store: str) -> None:
    kept = told(store, "http://longer.example/")
    assert (kept["reason"], kept["kept"], kept["diff"]) == (None, None, None)
    assert {member["representative"] for member in kept["members"]} == {kept["id"]}
    assert "stays; removed for it: 3" in glam(store, "http://longer.example/").stdout
    assert "stays; removed for it: 0" in glam(store, page(7)).stdout


@pytest.mark.parametrize("digits", [6, 15, 16, 20, 32])
def test_a_document_is_found_by_the_beginning_of_its_id(store: str, digits: int) -> None:
    identifier = told(store, page(5))["id"]
    assert told(store, identifier[:digits])["url"] == page(5)
    assert told(store, identifier[:digits].upper())["url"] == page(5)


def test_a_document_is_found_by_its_native_key_and_all_of_an_address_are_told(store: str) -> None:
    assert told(store, "again-30")["url"] == "http://twice.example/"
    answer = json.loads(glam(store, "http://twice.example/", "--json").stdout.splitlines()[-1])
    assert {entry["native_key"] for entry in answer["documents"]} == {"again-30", "again-31"}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://short.example/", "fewer than 50 characters"),
        ("http://schuhe.example/", "its language 'de' is not one of"),
    ],
)
def test_what_was_dropped_before_is_said_with_exit_code_1(store: str, url: str, words: str) -> None:
    done = glam(store, url)
    assert done.exit_code == 1
    assert "dropped before duplicates were looked for: " in done.stdout
    assert words in done.stdout
    assert json.loads(glam(store, url, "--json").stdout)["documents"][0]["cluster"] is None


@pytest.mark.parametrize(
    "like", ["https://www.site3.example/page.html", "site3.example/page.html/", "HTTP://SITE3.example/pag.html"]
)
def test_an_unknown_address_is_answered_with_those_like_it_and_what_extraction_left_out(store: str, like: str) -> None:
    error = glam(store, like).exception
    assert isinstance(error, GlamError)
    assert f"did you mean {page(3)}" in str(error)
    assert "quarantined 1" in str(error)


def test_an_unknown_address_like_no_other_is_told_too(store: str) -> None:
    for unknown in ("http://nowhere.invalid/", "ffffffffffffffff", "abc"):
        error = glam(store, unknown).exception
        assert isinstance(error, GlamError)
        assert str(error).startswith(f"{unknown}: no document of version all has this URL, native key or id. ")


def test_a_difference_shows_a_few_words_around_and_cuts_long_stretches() -> None:
    words = [f"w{number}" for number in range(400)]
    changed = [*words[:50], "new", *words[51:100], *words[300:]]
    first, second = word_diff(" ".join(words), "  \n".join(changed), most_hunks=5).hunks
    assert (first.before, first.removed, first.added, first.after.split()[0]) == (
        "w44 w45 w46 w47 w48 w49",
        "w50",
        "new",
        "w51",
    )
    assert second.added == ""
    assert second.removed.startswith("w100 ")
    assert f"… {200 - MOST_WORDS} words …" in second.removed
    assert word_diff("the same", "the   same", 5).hunks == ()


def test_a_difference_is_bounded() -> None:
    left = " ".join(f"w{number}" for number in range(MOST_COMPARED + 7))
    right = " ".join(f"v{number}" if number % 50 == 0 else f"w{number}" for number in range(1000))
    bounded = word_diff(left, right, most_hunks=3)
    assert len(bounded.hunks) == 3
    assert bounded.further_hunks == 18
    assert bounded.words_not_compared == 7


def test_an_empty_name_is_refused(store: str) -> None:
    done = glam(store, "")
    assert isinstance(done.exception, GlamError)
    assert "names no document" in str(done.exception)
