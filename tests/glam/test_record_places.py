"""Every record of every input file can be asked for by its place, FILE:OFFSET; what is in none is told with its
neighbors.
"""

from __future__ import annotations

import json
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
from building import run_build

from pipelines.lookup import VersionDocuments
from pipelines.record_places import RecordPlace
from pipelines.sources.record import Used
from pipelines.sources.registry import READERS
from pipelines.store.errors import GlamError
from pipelines.store.versions import find_version
from tests.faults.corpus import texts
from tests.glam.running import answer, run

CONFIG = """
name = "places"
data = "{data}"
[sources.notes]
component = "web"
reader = "jsonl"
files = ["{{data}}/notes/*/*.jsonl"]
[sources.posts]
component = "web"
reader = "stackexchange"
files = ["{{data}}/Posts.xml"]
[extract]
shards = 2
error_budget = 0.5
[holdout]
minimum = 0
[tokenizer]
vocabulary_size = 400
threads = 1
[pack]
shards = 1
sequence_length = 32
[mixture]
web.weight = 1.0
[versions]
all = {{}}
"""


def write_corpus(folder: Path) -> Path:
    """Lines without ids in two files of equal name but the folder, some damaged or empty; questions with an answer."""
    found = texts()
    lines = [json.dumps({"text": text}) for text in found[:40]]
    damaged = [*lines[:3], '{"text": "cut', '{"text": " "}', lines[3], '{"text": 3}', lines[4]]
    twice = [
        json.dumps({"id": "twice", "text": text}) for text in ("", "A text of this name, which is long enough. " * 9)
    ]
    for name, content in (("a/x", damaged), ("b/x", [*lines[5:], *twice])):
        path = folder / "notes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".jsonl").write_text("\n".join(content) + "\n")
    rows = [
        f'  <row Id="{n + 1}" PostTypeId="{2 if n % 2 else 1}" ParentId="{n}" Title="T" Body={quoteattr(text)} />\n'
        for n, text in enumerate(found[40:46])
    ]
    (folder / "Posts.xml").write_text(f"<posts>\n{''.join(rows)}</posts>\n")
    (folder / "places.toml").write_text(CONFIG.format(data=folder))
    return folder / "places.toml"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """The folder of the files; the store in it."""
    folder = tmp_path_factory.mktemp("places")
    run_build(write_corpus(folder), folder / "store")
    return folder


def records(corpus):
    """Yield path and record of every input file, as its reader yields them."""
    for reader, pattern in (("jsonl", "notes/*/*.jsonl"), ("stackexchange", "Posts.xml")):
        for path in sorted(corpus.glob(pattern)):
            for record in READERS[reader]({}).read(str(path)):
                yield str(path), record


def is_joined(record):
    return isinstance(record.outcome, Used) and not record.outcome.texts


def test_every_record_that_was_read_is_found_by_its_place_with_what_became_of_it(corpus):
    store = str(corpus / "store")
    documents, seen = VersionDocuments(store, find_version(store, "all")), set()
    for path, record in records(corpus):
        reference = f"{path}:{record.offset}"
        places, left_out = documents.find(reference), documents.left_out(reference)
        if is_joined(record):
            assert places == left_out == []
            seen.add("joined")
        elif isinstance(record.outcome, Used):
            assert {"file": path, "offset": record.offset} in documents.provenance(places[0])
            assert (len(places), left_out) == (1, [])
            seen.add("used")
        else:
            (row,) = left_out
            assert (row["file"], row["offset"], row["reason"]) == (path, record.offset, record.outcome.reason)
            assert places == []
            seen.add(record.outcome.reason)
    assert seen == {"joined", "used", "no_text", "bad_json", "bad_fields"}


def test_a_place_is_written_as_it_is_told(corpus):
    paths = (corpus / "store").glob("stages/extract/*/quarantine.jsonl")
    entry, _ = (json.loads(line) for path in paths for line in path.read_text().splitlines())
    file, offset = entry["file"], entry["offset"]
    for place in (f"{file}:{offset}", f"{file}, offset {offset:,}", f"{file}, offset {offset}", f"a/x.jsonl:{offset}"):
        said = run("explain", "all", place, "--store", corpus / "store")
        assert said.startswith(f"{file}:{offset}  notes: no document; the record was left out as bad_json")
        assert "quarantined: Invalid control character" in said
    assert RecordPlace.parse("http://site.example:80/a,b") is None
    assert RecordPlace.parse("s3://host:80/x:12") == ("s3://host:80/x", 12)


def test_a_name_tells_documents_and_records_that_gave_none(corpus):
    explained = answer("explain", "all", "twice", "--store", corpus / "store")
    (document,), (record,) = explained["documents"], explained["left_out"]
    assert (document["native_key"], record["native_key"], record["reason"]) == ("twice", "twice", "no_text")
    said = run("explain", "all", "twice", "--store", corpus / "store")
    assert said.startswith(document["id"])
    assert "twice  notes: no document; the record was left out as no_text" in said


def test_a_place_without_a_record_is_told_with_what_is_next_to_it(corpus):
    def told(document):
        with pytest.raises(GlamError) as refused:
            answer("explain", "all", document, "--store", corpus / "store")
        return str(refused.value)

    (first, second), posts = [r.offset for p, r in records(corpus) if p.endswith("a/x.jsonl")][2:4], "Posts.xml"
    said = told(f"a/x.jsonl:{first + 1}")
    assert f"a/x.jsonl:{first} (a document), {corpus}/notes/a/x.jsonl:{second} (bad_json)." in said
    assert said.endswith("Its records: used 5, no_text 1, quarantined 2")
    joined = next(r.offset for p, r in records(corpus) if is_joined(r))
    assert told(f"{posts}:{joined}").endswith("used 6; 3 of those used are in the document of another record")
    assert f"a/x.jsonl:{second} (bad_json), " in told(f"{corpus}/notes/a/x.jsonl")
    assert "did you mean" in told("Post.xml:0")
    assert "Posts.xml" in told("Post.xml:0")
    assert "has this URL, native key or id" in told("http://nobody.example:8080")
