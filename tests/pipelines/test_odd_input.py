"""Builds of odd input: sources without files, empty ones, damaged ones; two builds at once; what a name stands for."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from building import bytes_of, run_build

from pipelines.mix import MixtureError
from pipelines.sources.errors import SourceError
from pipelines.store.versions import find_version

ROOT = Path(__file__).resolve().parents[2]


def write_small(folder, **files):
    folder.mkdir()
    text = (
        "This is a plain English sentence about the weather of the day, number {}, and what people thought of it. " * 4
    )
    lines = "".join(json.dumps({"id": i, "text": text.format(*[i] * 4)}) + "\n" for i in range(60))
    (folder / "good.jsonl").write_text(lines)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    config = folder / "c.toml"
    config.write_text(
        f'name = "c"\ndata = "{folder}"\n[sources.good]\ncomponent = "web"\nreader = "jsonl"\n'
        'files = ["{data}/good.jsonl"]\n[sources.odd]\ncomponent = "news"\nreader = "jsonl"\nfiles = ["{data}/odd*"]\n'
        "[select]\nmin_characters = 20\n[tokenizer]\nvocabulary_size = 300\n[pack]\nsequence_length = 32\n"
        "[mixture]\nweb.weight = 0.5\nnews.weight = 0.5\n[versions]\nall = {}\n"
    )
    return config


def test_a_component_without_files_leaves_the_mixture(tmp_path):
    made = run_build(write_small(tmp_path / "data"), tmp_path / "store")
    components = made.versions["all"].components
    assert {name: component.weight for name, component in components.items()} == {"web": 1.0}
    assert made.files_missing == {"odd": ["{data}/odd*"]}


def test_an_empty_source_is_named(tmp_path):
    with pytest.raises(MixtureError, match="component 'news' has no training documents"):
        run_build(write_small(tmp_path / "data", odd=b""), tmp_path / "store")


def test_a_source_of_nothing_but_damage_fails_with_file_offset_and_reason(tmp_path):
    config = write_small(tmp_path / "data", odd=b'{"id": 1, "body": "no text field"}\n')
    with pytest.raises(SourceError, match=r"source odd: 1 of 1 records cannot be read.*data/odd, offset 0, "):
        run_build(config, tmp_path / "store")


def test_a_file_that_is_cut_is_refused_within_the_budget_also_by_a_later_build_until_it_is_accepted(tmp_path):
    lines = [json.dumps({"id": number, "text": f"Line {number} of some English text."}) + "\n" for number in range(900)]
    config = write_small(tmp_path / "data", odd=gzip.compress("".join(lines).encode())[:-600])
    refusal = r"source odd: files cut or damaged to their end: 1, and .*data/odd, offset \d+, truncated_gzip: .*accept"
    with pytest.raises(SourceError, match=refusal):
        run_build(config, tmp_path / "store")
    made = run_build(config, tmp_path / "store", overrides=["extract.accept_cut_files=true"])
    records = made.to_json()["records"]["odd"]
    assert (records["quarantined"], records["read"] > 100) == (1, True)
    with pytest.raises(SourceError, match=refusal):
        run_build(config, tmp_path / "store")


def test_an_id_that_utf_8_cannot_hold_is_written_out(tmp_path):
    line = json.dumps({"id": "\ud800", "url": "http://x/\udfff", "text": "A line of English text that is long enough."})
    config = write_small(
        tmp_path / "data", odd=(line + "\n").encode() + (line.replace("A line", "Another") + "\n").encode()
    )
    made = run_build(config, tmp_path / "store")
    assert made.to_json()["records"]["odd"] == {"read": 2, "used": 2, "skipped": {}, "quarantined": 0}


def test_what_a_build_tells_is_of_this_build_though_the_version_is_an_older_one(tmp_path):
    config = write_small(tmp_path / "data", odd=b"")
    config.write_text(
        config.read_text().replace("news.weight = 0.5", "").replace("web.weight = 0.5", "web.weight = 1.0")
    )
    first = run_build(config, tmp_path / "store")
    good = tmp_path / "data" / "good.jsonl"
    good.write_text(good.read_text() + "not JSON\n")
    again = run_build(config, tmp_path / "store", overrides=["extract.error_budget=0.5"])
    assert again.versions["all"].id == first.versions["all"].id
    assert again.to_json()["records"]["good"] == {"read": 61, "used": 60, "skipped": {}, "quarantined": 1}
    assert again.versions["all"].manifest["ledger"]["good"]["records"]["quarantined"] == 1


def test_a_name_is_the_version_last_built_under_it(tmp_path):
    config = write_small(tmp_path / "data")
    one = run_build(config, tmp_path / "store").versions["all"].id
    other = run_build(config, tmp_path / "store", overrides=["seed=5"]).versions["all"].id
    assert one != other
    assert find_version(str(tmp_path / "store"), "all").id == other
    both = run_build(config, tmp_path / "store", overrides=["versions={all={}, again={}}"])
    assert {v.id for v in both.versions.values()} == {one}
    assert find_version(str(tmp_path / "store"), "all").id == find_version(str(tmp_path / "store"), "again").id == one


def test_two_builds_at_once_that_share_a_source_do_not_harm_each_other(tmp_path):
    config = write_small(
        tmp_path / "data", odd=b'{"id": 1, "text": "The first text of the odd source, plain English."}\n'
    )
    lines = "".join(
        json.dumps({"id": i, "text": f"Another odd English text, which is number {i}."}) + "\n" for i in range(40)
    )
    (tmp_path / "data" / "more.jsonl").write_text(lines)
    store = tmp_path / "store"
    command = [sys.executable, "-m", "glam", "build", str(config), "--store", str(store), "--set", "holdout.minimum=0"]
    changed = [*command, "--set", "sources.odd.files=['{data}/more.jsonl']"]
    processes = [subprocess.Popen(c, cwd=ROOT, stderr=subprocess.PIPE, text=True) for c in (command, changed)]
    for process in processes:
        assert process.wait() == 0, process.communicate()[1]
    for overrides in ([], ["sources.odd.files=['{data}/more.jsonl']"]):
        settings = ["holdout.minimum=0", *overrides]
        shared = run_build(config, store, overrides=settings)
        assert all(stage.reused for stage in shared.stages)
        alone = run_build(config, tmp_path / f"alone{len(overrides)}", overrides=settings)
        assert bytes_of(shared) == bytes_of(alone)
