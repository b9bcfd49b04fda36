"""The difference of two versions, against the verdicts on every document compared one by one."""

from __future__ import annotations

import os
import shutil

import pytest
from building import run_build

from pipelines.difference import Difference, configuration_changes
from pipelines.lookup import VersionDocuments
from pipelines.verdicts import TRAIN
from tests.pipelines.test_explanation import verdicts_of

OVERRIDES = ["extract.shards=3", "select.min_characters=300", "sources.lee.files=['{data}/a.jsonl']"]


@pytest.fixture(scope="module")
def changed(small_config, small_build, tmp_path_factory):
    """A build of other shards, a higher threshold and fewer files, in a copy of the small store."""
    store = tmp_path_factory.mktemp("changed") / "store"
    shutil.copytree(small_build[1], store, copy_function=os.link)
    return run_build(small_config, store, overrides=OVERRIDES), store


def reference(left, right):
    """Return {(change, source, reason): (documents, tokens)} of two tables of verdicts."""
    changes: dict[tuple[str, str, str], tuple[int, int]] = {}
    for change, here, there in (("lost", left, right), ("gained", right, left)):
        for (source, identifier), (verdict, tokens) in here.items():
            other, _ = there.get((source, identifier), ("absent", 0))
            if verdict == TRAIN != other:
                number, total = changes.get((change, source, other), (0, 0))
                changes[change, source, other] = number + 1, total + tokens
    return changes


@pytest.mark.parametrize(("a", "b"), [("unfiltered", "filtered"), ("random", "filtered"), ("filtered", "filtered")])
def test_documents_and_tokens_lost_and_gained_are_those_of_the_verdicts(small_build, a, b):
    made, store = small_build
    sides = [VersionDocuments(str(store), made.versions[name]) for name in (a, b)]
    answer = Difference(*sides).to_json()
    expected = reference(*(verdicts_of(made, store, name) for name in (a, b)))
    assert {
        (c["change"], c["source"], c["reason"]): (c["documents"], c["tokens"]) for c in answer["changes"]
    } == expected
    assert answer["same"] == (a == b)
    for side, name in (("a", a), ("b", b)):
        total = sum(entry[side]["tokens"] for entry in answer["sources"].values())
        assert total == answer[side]["tokens"] == sum(c.tokens for c in made.versions[name].components.values())
    if a == b:
        assert answer["configuration"] == []
    else:
        assert {"key": "variants.web", "a": {"unfiltered": "all"}.get(a, a), "b": "filtered"} in answer["configuration"]


def test_versions_of_other_files_shards_and_thresholds_are_compared_by_id(small_build, changed):
    (made, store), (other, other_store) = small_build, changed
    sides = [
        VersionDocuments(str(store), made.versions["filtered"]),
        VersionDocuments(str(other_store), other.versions["filtered"]),
    ]
    answer = Difference(*sides).to_json()
    judged = verdicts_of(made, store, "filtered"), verdicts_of(other, other_store, "filtered")
    changes = {(c["change"], c["source"], c["reason"]): c for c in answer["changes"]}
    assert {key: (c["documents"], c["tokens"]) for key, c in changes.items()} == reference(*judged)
    assert changes["lost", "lee", "absent"]["documents"] > 0
    assert changes["lost", "pages", "too_short"]["documents"] > 0
    for (change, source, reason), entry in changes.items():
        here, there = judged if change == "lost" else judged[::-1]
        for sample in entry["samples"]:
            key = source, bytes.fromhex(sample["id"])
            assert here[key] == (TRAIN, sample["tokens"])
            assert there.get(key, ("absent", 0))[0] == reason
    for entry in answer["sources"].values():
        assert entry["a"]["documents"] - entry["lost"]["documents"] == entry["kept"]["documents"]
        assert entry["kept"]["documents"] + entry["gained"]["documents"] == entry["b"]["documents"]
        before = entry["a"]["tokens"] - entry["lost"]["tokens"]
        assert entry["b"]["tokens"] - entry["gained"]["tokens"] == before + entry["kept"]["tokens_changed"]
    keys = {change["key"]: (change["a"], change["b"]) for change in answer["configuration"]}
    assert keys == {"extract.shards": (2, 3), "select.min_characters": (200, 300)}


def test_recipes_are_compared_key_by_key_and_sources_by_name():
    a = {"seed": 1, "sources": [{"source": "x", "reader": "warc"}, {"source": "y", "reader": "text"}], "gone": {"k": 1}}
    b = {"seed": 1, "sources": [{"source": "y", "reader": "jsonl"}], "new": [1]}
    assert configuration_changes(a, b) == [
        {"key": "gone", "a": {"k": 1}, "b": None},
        {"key": "new", "a": None, "b": [1]},
        {"key": "sources.x", "a": {"reader": "warc"}, "b": None},
        {"key": "sources.y.reader", "a": "text", "b": "jsonl"},
    ]
