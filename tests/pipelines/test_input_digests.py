"""What the store remembers of input files is believed only while the file system says the same of them."""

from __future__ import annotations

import hashlib
import os

import pytest

from pipelines import input_digests
from pipelines.config import load_corpus_config
from pipelines.corpus import Corpus
from pipelines.engine import Engine
from pipelines.input_digests import InputDigests, signature_of
from pipelines.progress import SilentDisplay
from pipelines.source_files import digest_files, find_files
from pipelines.store.files import write_bytes
from pipelines.store.stages import Store


@pytest.fixture
def settled(monkeypatch):
    """Files count as old enough at once."""
    monkeypatch.setattr(input_digests, "SETTLED_NANOSECONDS", -(10**18))


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def saved(store, *paths):
    digests = InputDigests(str(store))
    for path in paths:
        digests.read(str(path))
    digests.save()
    return InputDigests(str(store))


@pytest.mark.usefixtures("settled")
def test_a_file_that_did_not_change_is_remembered_for_the_next_build(tmp_path):
    (tmp_path / "a").write_bytes(b"one")
    digests = saved(tmp_path / "store", tmp_path / "a")
    assert digests.remembered(str(tmp_path / "a")) == sha256(b"one")
    assert digests.remembered(os.path.relpath(tmp_path / "a")) == sha256(b"one")
    assert InputDigests(str(tmp_path / "store"), distrust=True).remembered(str(tmp_path / "a")) is None


def change_in_place(path):
    path.write_bytes(b"two")


def change_by_rename(path):
    path.with_suffix(".new").write_bytes(b"two")
    path.with_suffix(".new").replace(path)


def grow(path):
    path.write_bytes(b"one and more")


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("change", [change_in_place, change_by_rename, grow])
def test_a_changed_file_is_not_believed_even_with_its_old_size_and_time(tmp_path, change):
    path = tmp_path / "a"
    path.write_bytes(b"one")
    digests = saved(tmp_path / "store", path)
    before = path.stat()
    change(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digests.remembered(str(path)) is None
    assert digests.read(str(path)) == sha256(path.read_bytes())


def test_a_file_changed_a_moment_ago_or_while_it_was_read_is_not_remembered(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"one")
    assert saved(tmp_path / "store", path).remembered(str(path)) is None
    monkeypatch.setattr(input_digests, "SETTLED_NANOSECONDS", -(10**18))
    original = input_digests.digest_file

    def changed_meanwhile(url):
        digest = original(url)
        path.write_bytes(b"two")
        return digest

    monkeypatch.setattr(input_digests, "digest_file", changed_meanwhile)
    assert saved(tmp_path / "store", path).remembered(str(path)) is None


def test_objects_without_an_etag_are_not_remembered(tmp_path):
    url = f"memory://{tmp_path.name}/a"
    write_bytes(url, b"one")
    assert signature_of(url) is None
    assert saved(tmp_path / "store", url).remembered(url) is None


@pytest.mark.usefixtures("settled")
def test_damaged_lines_are_passed_over(tmp_path):
    (tmp_path / "a").write_bytes(b"one")
    saved(tmp_path / "store", tmp_path / "a")
    path = tmp_path / "store" / "inputs" / "digests.jsonl"
    path.write_bytes(b'{"path": 3\n[]\n\xff\xfe\n' + path.read_bytes() + b"{")
    assert InputDigests(str(tmp_path / "store")).remembered(str(tmp_path / "a")) == sha256(b"one")


@pytest.mark.usefixtures("settled")
def test_a_second_build_reads_no_input_file_for_its_hash_unless_it_is_told_to(small_config, tmp_path, monkeypatch):
    config = load_corpus_config(str(small_config))
    files, _ = find_files(config)
    read = []
    original = input_digests.digest_file
    monkeypatch.setattr(input_digests, "digest_file", lambda url: read.append(url) or original(url))
    digests = []
    for rehash, expected in ((False, True), (False, False), (True, True)):
        read.clear()
        corpus = Corpus(config, Store(str(tmp_path)), Engine([], SilentDisplay()), rehash=rehash)
        digests.append(digest_files(corpus, files))
        assert set(read) == ({url for urls in files.values() for url in urls} if expected else set())
    assert digests[0] == digests[1] == digests[2]
