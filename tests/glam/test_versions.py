"""`glam list`, `show`, `verify` and `gc` on a store of the small corpus."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from building import bytes_of, copy_store, run_build

from pipelines import progress
from pipelines.progress import SilentDisplay
from pipelines.store.files import write_bytes, write_json
from tests.glam.running import answer, outcome, run


@pytest.fixture
def store(small_build, tmp_path):
    """A copy of the small store that a test may harm: what is written again takes the place of a hard link."""
    return copy_store(*small_build, tmp_path / "store")


def test_show_tells_what_the_manifest_knows_and_what_names_the_version(small_build, store):
    version = small_build[0].versions["filtered"]
    write_json(str(store / "runs" / "ab12" / "run.json"), {"version": {"id": version.id}})
    write_json(str(store / "studies" / "cd34" / "study.json"), {"versions": {"filtered": version.id}})
    shown = answer("show", version.id[:8], "--store", store)
    assert (shown["id"], shown["name"]) == (version.id, "filtered")
    assert [Path(path).name for path in (*shown["runs"], *shown["studies"])] == ["ab12", "cd34"]
    assert shown["files"]["bytes"] == sum(entry["size"] for entry in version.manifest["files"])
    assert shown["components"]["web"]["tokens"] == version.components["web"].tokens
    said = run("show", "filtered", "--store", store)
    dropped = version.manifest["ledger"]["pages"]["documents"]["dropped"]
    assert f"pareto {dropped['pareto']:,}" in said
    assert "unknown" in said


def test_licences_are_rolled_up_and_rows_and_tokens_add_up(small_config, small_build, store):
    licensed = ["sources.lee.licence='CC BY'", "sources.lee-test.licence='CC BY'", "sources.plays.licence='PD'"]
    version = run_build(small_config, store, overrides=licensed).versions["filtered"]
    assert version.id == small_build[0].versions["filtered"].id, "a licence decides no byte"
    totals = answer("show", "filtered", "--store", store)["licence_totals"]
    ledger = version.manifest["ledger"]
    assert {licence: total["sources"] for licence, total in totals.items()} == {
        "CC BY": ["lee", "lee-test"],
        "PD": ["plays"],
        "unknown": ["pages"],
    }
    assert totals["CC BY"]["documents"] == ledger["lee"]["documents"]["out"]
    held = [version.heldout[source].documents for source in ("lee", "lee-test")]
    assert totals["CC BY"]["heldout"] == sum(held)
    news = version.components["news"]
    assert totals["CC BY"]["tokens"] == news.tokens - news.documents  # nothing is cut of news
    files = {entry["path"]: entry for entry in version.manifest["files"]}
    for part in (*version.manifest["components"].values(), *version.manifest["heldout"].values()):
        assert sum(files[path]["tokens"] for path in part["shards"]) == part["tokens"]
        assert sum(files[path]["rows"] for path in part["shards"]) == part["records"]


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    write_bytes(str(path), bytes(data))


def test_verify_finds_damage_in_a_version_and_in_the_stages_behind_it(small_build, store):
    made, _ = small_build
    every = answer("verify", "filtered", "--store", store, "--stages")
    assert every["ok"]
    assert every["hashed"] == every["files"] > len(made.versions["filtered"].manifest["files"])
    sample = next(stage for stage in made.stages if stage.stage == "sample")
    decision = store / "stages" / "sample" / sample.fingerprint / "decisions/pages/part-00000-of-00002.parquet"
    damage(decision)
    assert answer("verify", "filtered", "--store", store)["ok"]
    harmed = answer("verify", "filtered", "--store", store, "--stages")
    assert [bad["path"] for bad in harmed["bad"]] == [str(decision.relative_to(store))]


@pytest.mark.parametrize("quick", [[], ["--quick"]], ids=["whole", "quick"])
def test_a_stage_that_is_gone_is_named_and_the_others_are_checked(small_build, store, quick):
    made, _ = small_build
    folders = {s.stage: store / "stages" / s.stage / s.fingerprint for s in made.stages if s.stage != "extract"}
    shutil.rmtree(folders["holdout"])
    write_bytes(str(folders["quality"] / "manifest.json"), b"{")
    harmed = next(folders["sample"].glob("decisions/*/*.parquet"))
    write_bytes(str(harmed), harmed.read_bytes()[:-1])
    found = answer("verify", "filtered", "--store", store, "--stages", *quick)
    manifests = [folders[name] / "manifest.json" for name in ("holdout", "quality")]
    assert {bad["path"] for bad in found["bad"]} == {str(path.relative_to(store)) for path in (*manifests, harmed)}
    reasons = {bad["path"].split("/")[1]: bad["reason"] for bad in found["bad"]}
    assert "there is no manifest" in reasons["holdout"]
    assert "not a JSON file" in reasons["quality"]
    assert outcome("verify", "filtered", "--store", store, "--stages", *quick)[0] == 1
    assert answer("verify", "filtered", "--store", store, *quick)["ok"]


def test_any_number_of_threads_finds_the_same_and_shows_every_byte(small_build, store, monkeypatch):
    shown = []

    class Recorded(SilentDisplay):
        def start(self, label, total, unit, *_done):
            shown.append((label, total, unit, []))

        def move(self, done, *_detail):
            shown[-1][3].append(done)

    monkeypatch.setattr(progress, "TerminalDisplay", Recorded)
    shards = sorted((store / "versions" / small_build[0].versions["filtered"].id).glob("train/*/*.tfrecord"))
    found = []
    for harm in (lambda: None, lambda: [damage(path) for path in shards[::2]]):
        harm()
        for threads in (1, 4):
            found.append(answer("verify", "filtered", "--store", store, "--stages", "--threads", threads))
            label, total, unit, moves = shown[-1]
            assert (label, total, unit) == ("verify", found[-1]["bytes"], "bytes")
            assert moves[-1] == total
            assert moves == sorted(moves)
    assert found[0] == found[1]
    assert found[0]["ok"]
    assert found[2] == found[3]
    assert [Path(bad["path"]).name for bad in found[2]["bad"]] == [path.name for path in shards[::2]]


def test_a_quick_verification_sees_every_size_and_hashes_a_sample(small_build, store):
    version = store / "versions" / small_build[0].versions["filtered"].id
    quick = answer("verify", "filtered", "--store", store, "--quick")
    assert quick["ok"]
    assert 0 < quick["hashed"] < quick["files"]
    shards = sorted(version.glob("train/*/*.tfrecord"))
    write_bytes(str(shards[0]), shards[0].read_bytes()[:-1])
    shards[1].unlink()
    code, _ = outcome("verify", "filtered", "--store", store, "--quick")
    assert code == 1
    bad = answer("verify", "filtered", "--store", store, "--quick")["bad"]
    assert {item["path"] for item in bad} == {str(path.relative_to(version)) for path in shards[:2]}
    assert {"is not there"} < {item["reason"] for item in bad}


def test_some_seed_of_a_quick_verification_finds_a_flipped_byte(small_build, store):
    version = store / "versions" / small_build[0].versions["filtered"].id
    shard = min(version.glob("train/*/*.tfrecord"), key=lambda path: path.stat().st_size)
    damage(shard)
    assert any(not answer("verify", "filtered", "--store", store, "--quick", "--seed", n)["ok"] for n in range(200))


@pytest.mark.parametrize("content", ["{", "[]", '{"kind": "version", "files": []}', '{"files": [3]}', "\x00"])
def test_a_damaged_manifest_hides_nothing_else(small_build, store, content):
    made, _ = small_build
    broken = store / "versions" / made.versions["random"].id / "manifest.json"
    write_bytes(str(broken), content.encode())
    write_bytes(str(store / "studies" / "ab" / "study.json"), content.encode())
    listed = answer("list", "--store", store)
    assert {version["name"] for version in listed["versions"]} == {"filtered", "unfiltered"}
    assert listed["studies"] == []


def test_a_clean_up_keeps_what_versions_need_and_the_next_build_computes_nothing(small_config, small_build, store):
    run_build(small_config, store, overrides=["tokenizer.vocabulary_size=500"])
    old = json.dumps(answer("list", "--store", store))
    first = answer("gc", "--store", store)
    assert not first["deleted"]
    assert {item["kind"] for item in first["garbage"]} == {"jobs"}, "every stage was read by a version"
    listed = answer("gc", "--store", store, "--superseded")["garbage"]
    assert sum(item["kind"] == "version" for item in listed) == 3
    keep = small_build[0].versions["filtered"].id[:10]
    done = answer("gc", "--store", store, "--superseded", "--keep", keep, "--delete")
    assert done["deleted"]
    assert done["freed"] >= 0
    assert answer("gc", "--store", store, "--superseded", "--keep", keep)["garbage"] == []
    assert answer("verify", keep, "--store", store, "--stages")["ok"]
    assert json.loads(old)["versions"] != answer("list", "--store", store)["versions"]
    again = run_build(small_config, store, overrides=["tokenizer.vocabulary_size=500"])
    assert all(stage.reused for stage in again.stages)
    original = run_build(small_config, store)
    assert bytes_of(original) == bytes_of(small_build[0])
