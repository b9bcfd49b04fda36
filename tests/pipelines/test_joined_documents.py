"""Documents of several records, from file to shard: the ledger balances, sizes add up, the offset is the first's."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from pipelines.build import build
from pipelines.config import load_corpus_config
from pipelines.progress import SilentDisplay

POSTS = (
    "<posts>\n"
    '<row Id="1" PostTypeId="1" Title="Why?" CreationDate="2020-01-01" Body="&lt;p&gt;A question.&lt;/p&gt;" />\n'
    '<row Id="2" PostTypeId="2" ParentId="1" CreationDate="2020-01-01" Score="1" Body="Because." />\n'
    '<row Id="3" PostTypeId="2" ParentId="9" CreationDate="2020-01-01" Score="1" Body="Of nothing." />\n'
    "</posts>"
)
CONFIG = (
    'name = "c"\ndata = "{data}"\n[sources.posts]\ncomponent = "forums"\nreader = "stackexchange"\n'
    'files = ["{{data}}/*/Posts.xml"]\n[extract]\nshards = 1\n[mixture]\nforums.weight = 1.0\n[versions]\nall = {{}}\n'
)


def extract(folder):
    """Extract the posts under a folder; return the only stage of the store beside it."""
    config = folder.parent / "c.toml"
    config.write_text(CONFIG.format(data=folder))
    store = folder.parent / "store"
    before = set(store.glob("stages/extract/*"))
    build(load_corpus_config(str(config)), str(store), [], SilentDisplay(), until="extract")
    (stage,) = set(store.glob("stages/extract/*")) - before
    return stage


@pytest.fixture
def posts(tmp_path):
    site = tmp_path / "data" / "beer.stackexchange.com"
    site.mkdir(parents=True)
    (site / "Posts.xml").write_text(POSTS)
    return site


def test_ledger_sizes_and_offset(posts):
    stage = extract(posts.parent)
    ledger = json.loads((stage / "manifest.json").read_text())["ledger"]["posts"]
    assert ledger["records"] == {"read": 3, "used": 2, "skipped": {"question_missing": 1}, "quarantined": 0}
    assert ledger["documents"] == {"out": 1, "copies": 0}
    assert ledger["notes"] == {"joined": 1}
    (document,) = pq.read_table(stage / "documents/posts/part-00000-of-00001.parquet").to_pylist()
    assert document["text"] == "Q: Why?\n\nA question.\n\nA:\n\nBecause."
    assert document["native_key"] == "beer.stackexchange.com 1"
    assert document["raw_bytes"] == ledger["raw_bytes"]["used"] == len("".join(POSTS.splitlines()[1:3]))
    (provenance,) = pq.read_table(stage / "provenance/part-00000-of-00001.parquet").to_pylist()
    assert provenance == {"id": document["id"], "file": str(posts / "Posts.xml"), "offset": POSTS.index("<row")}


def test_another_name_of_the_site_is_another_stage(posts):
    extract(posts.parent)
    shutil.move(posts, posts.parent / "wine.stackexchange.com")
    stage = extract(posts.parent)  # else the finished one would have been taken
    (document,) = pq.read_table(stage / "documents/posts/part-00000-of-00001.parquet").to_pylist()
    assert document["url"] == "https://wine.stackexchange.com/q/1"
