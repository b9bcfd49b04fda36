"""What nothing refers to is found and deleted, and nothing else; a build that runs keeps a clean-up away."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from glam.garbage import collect_garbage
from pipelines.store import leases
from pipelines.store.errors import GlamError
from pipelines.store.files import StoreError, join, link_or_copy, write_bytes, write_json
from pipelines.store.garbage import delete, find_garbage, freed_bytes
from pipelines.store.leases import holders, lease
from pipelines.store.stages import StageKey, Store, StoredFile, merkle_root
from pipelines.store.versions import list_versions, publish_version, version_id

ROOT = Path(__file__).resolve().parents[3]


def stage(store, name, inputs, content=b"rows"):
    key = StageKey(name, {"content": content.decode()}, inputs, ("pipelines.store.hashing",))
    opened = store.begin(key)
    return opened.finish([StoredFile.of("part", write_bytes(opened.path("part"), content))])


def version(store, name, packed, when, stages):
    (entry,) = packed.manifest["files"]
    file = StoredFile(**{**entry, "path": "train/web/part"})
    recipe = {"name": name, "when": when}
    identifier = version_id(recipe, merkle_root([file.to_json()]))
    url = join(store.url, "versions", identifier)
    link_or_copy(packed.urls()[0], join(url, file.path))
    side = {"created": when, "config": "test", "names": {name: when}}
    names = sorted(f"{part.stage}/{part.fingerprint}" for part in stages)
    body = {"name": name, "id": identifier, "recipe": recipe, "components": {}, "heldout": {}, "stages": names}
    facts = {"sequence_length": 4, "vocabulary_size": 9, "token_dtype": "uint16", "tokenizer": "model", "ledger": {}}
    return publish_version(url, [file], body | facts | {"side": side})


@pytest.fixture(params=["local", "object store"])
def store(tmp_path, request):
    return Store(str(tmp_path) if request.param == "local" else f"memory://{tmp_path.name}-{request.node.name[:20]}")


def made(store):
    """A store: old and new version of one name, a stage that was read but is not named, one of no use, and litter."""
    extracted = stage(store, "extract", {"files": ["aa"]})
    classifier = stage(store, "classifier", {"documents/web": extracted.output_id}, b"model")
    scored = stage(store, "quality", {"classifier": classifier.output_id}, b"scores")
    old_pack, new_pack = (stage(store, "pack", {"quality": scored.output_id}, text) for text in (b"old", b"new!"))
    old = version(store, "filtered", old_pack, "2026-01-01", [extracted, scored, old_pack])
    new = version(store, "filtered", new_pack, "2026-01-02", [extracted, scored, new_pack])
    useless = stage(store, "sample", {"quality": scored.output_id}, b"useless")
    write_bytes(join(store.url, "stages/holdout/ff00/part"), b"unfinished")
    write_bytes(join(store.url, "stages/extract", extracted.fingerprint, ".part.1.ab.tmp"), b"cut")
    write_bytes(join(store.url, "jobs/ab/work.jsonl"), b"{}")
    return old, new, old_pack, useless


def found(store, **options):
    return {(item.kind, item.path) for item in find_garbage(store.url, **options)}


def test_what_is_needed_is_kept_through_stages_that_no_version_names(store):
    old, _, old_pack, useless = made(store)
    litter = {
        ("stage", f"stages/sample/{useless.fingerprint}"),
        ("stage", "stages/holdout/ff00"),
        ("jobs", "jobs/ab"),
    }
    (extracted,) = [name for name in old.manifest["stages"] if name.startswith("extract/")]
    litter.add(("temporary", f"stages/{extracted}/.part.1.ab.tmp"))
    assert found(store) == litter
    replaced = {("version", f"versions/{old.id}"), ("stage", f"stages/pack/{old_pack.fingerprint}")}
    assert found(store, superseded=True) == litter | replaced
    assert found(store, superseded=True, keep=[old.id[:6]]) == litter


@pytest.mark.parametrize(
    ("path", "facts"),
    [
        ("runs/ab/run.json", lambda i: {"version": {"id": i}}),
        ("studies/ab/study.json", lambda i: {"versions": {"a": i}}),
    ],
    ids=["run", "study"],
)
def test_a_version_that_a_run_or_study_names_is_kept(store, path, facts):
    old, *_ = made(store)
    write_json(join(store.url, path), facts(old.id))
    assert ("version", f"versions/{old.id}") not in found(store, superseded=True)
    write_bytes(join(store.url, path), b"{")
    with pytest.raises(StoreError, match="what it refers to is not known, so nothing is safe to delete"):
        find_garbage(store.url)


def test_a_version_to_keep_goes_by_id_prefix_or_name_and_must_be_there(store):
    old, new, *_ = made(store)
    (entry,) = [item for item in find_garbage(store.url, superseded=True) if item.kind == "version"]
    assert entry.path == f"versions/{old.id}"
    for keep in (old.id, old.id[:4]):
        assert entry not in find_garbage(store.url, superseded=True, keep=[keep])
    for keep in ("filtered", new.id):
        assert entry in find_garbage(store.url, superseded=True, keep=[keep])
    for unknown in ("", "filter", "ffff", old.id[:3], f"{old.id}0"):
        for superseded in (True, False):
            with pytest.raises(StoreError, match=f"'{unknown}' is neither the id, a prefix of it, nor the name"):
                find_garbage(store.url, superseded=superseded, keep=[old.id, unknown])


def test_a_folder_that_is_no_store_is_refused_and_stays_as_it_was(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "none"):
        for wanted in (False, True):
            with pytest.raises(StoreError, match=f"{folder}: is no store"):
                collect_garbage(str(folder), wanted, False, [])
    assert list((tmp_path / "empty").iterdir()) == []
    assert not (tmp_path / "none").exists()
    write_bytes(str(tmp_path / "empty" / "leases" / "x.json"), b"{}")
    assert [item["path"] for item in collect_garbage(str(tmp_path / "empty"), True, False, [])["garbage"]] == [
        "leases/x.json"
    ]


def test_a_damaged_manifest_of_a_version_stops_the_search(store):
    old, *_ = made(store)
    write_bytes(join(old.url, "manifest.json"), b"{")
    with pytest.raises(StoreError, match="nothing is safe to delete"):
        find_garbage(store.url)


def test_deleting_leaves_the_rest_and_frees_what_no_other_file_shares(store):
    old, new, *_ = made(store)
    garbage = find_garbage(store.url, superseded=True)
    freed = freed_bytes(store.url, garbage)
    listed = sum(item.bytes for item in garbage)
    shared = 0 if store.url.startswith("memory") else len(b"old")  # one file under two names
    assert freed == listed - shared
    delete(store.url, garbage)
    assert [version.id for version in list_versions(store.url)] == [new.id]
    assert find_garbage(store.url, superseded=True) == []
    assert freed_bytes(store.url, []) == 0
    assert old.id not in {version.id for version in list_versions(store.url)}


HOLD = """
import sys
from pipelines.store.leases import lease
with lease(sys.argv[1], sys.argv[2]):
    print("held", flush=True)
    sys.stdin.readline()
"""


def hold(store_url, kind):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, store_url, kind],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_a_build_and_a_clean_up_give_way_to_each_other_and_builds_do_not(tmp_path):
    url = str(tmp_path)
    build = hold(url, "build")
    with (
        pytest.raises(GlamError, match=rf"a build runs on this store; .* \(process {build.pid} on "),
        lease(url, "clean"),
    ):
        pass
    with lease(url, "build"):
        assert len(holders(url, "build")) == 2
    build.communicate("\n")
    with (
        lease(url, "clean"),
        pytest.raises(GlamError, match=r"`glam gc --delete` runs on this store"),
        lease(url, "build"),
    ):
        pass
    assert list((tmp_path / "leases").iterdir()) == []


def test_the_lease_of_a_killed_build_counts_for_nothing(tmp_path):
    build = hold(str(tmp_path), "build")
    build.kill()
    build.wait()
    with lease(str(tmp_path), "clean"):
        pass
    (left,) = (tmp_path / "leases").iterdir()
    assert [(item.kind, item.path) for item in find_garbage(str(tmp_path))] == [("temporary", f"leases/{left.name}")]
    facts = json.loads(left.read_text()) | {"host": "another", "process": os.getpid()}
    left.write_text(json.dumps(facts))
    with pytest.raises(GlamError, match="on another"), lease(str(tmp_path), "clean"):
        pass
    here = facts | {"host": socket.gethostname()}
    damaged = [
        facts | {"renewed": time.time() - leases.EXPIRES_SECONDS - 1},
        *(facts | {"renewed": wrong} for wrong in ("x", None, [], True, float("nan"), float("inf"), 10**400)),
        *(here | {"process": wrong} for wrong in ("abc", 1.5, None, {}, True, 0, -1, 1 << 40)),
        *(facts | {"host": wrong} for wrong in (None, 7, [])),
    ]
    for content in (*map(json.dumps, damaged), "{", "[]", "{}"):
        left.write_text(content)
        assert [item.kind for item in find_garbage(str(tmp_path))] == ["temporary"], content
        with lease(str(tmp_path), "clean"):
            pass


def test_a_lease_is_renewed_while_it_is_held_though_a_renewal_fails(tmp_path, monkeypatch):
    """Whatever the client of an object store raises."""
    monkeypatch.setattr(leases, "RENEWED_SECONDS", 0.01)
    written = []

    def write(url, facts):
        written.append(url)
        if len(written) == 2:
            raise RuntimeError("no answer")
        write_json(url, facts)

    monkeypatch.setattr(leases, "write_json", write)
    with lease(str(tmp_path), "build"):
        (first,) = holders(str(tmp_path), "build")
        deadline = time.monotonic() + 60
        while holders(str(tmp_path), "build")[0]["renewed"] == first["renewed"]:
            assert time.monotonic() < deadline
