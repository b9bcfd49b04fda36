"""Nothing is ever visible half-written."""

import hashlib
import os
import re
import sys
import threading

import pytest

from pipelines.store.files import (
    AtomicFile,
    StoreError,
    exists,
    link_or_copy,
    read_bytes,
    read_json,
    sizes_under,
    write_bytes,
)


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    return str(tmp_path) if request.param == "local" else f"memory://{tmp_path.name}"


def test_a_file_appears_whole_with_its_digest(folder):
    url = f"{folder}/a/b/file"
    with AtomicFile(url) as file:
        file.write(b"one ")
        file.write(b"two")
    assert read_bytes(url) == b"one two"
    assert file.digest.size == 7
    assert file.digest.sha256 == hashlib.sha256(b"one two").hexdigest()


def test_a_failed_write_leaves_nothing_and_keeps_what_was_there(tmp_path):
    url = str(tmp_path / "file")
    write_bytes(url, b"old")

    def stop_halfway():
        with AtomicFile(url) as file:
            file.write(b"half")
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        stop_halfway()
    assert read_bytes(url) == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_link_is_the_same_bytes(folder):
    write_bytes(f"{folder}/source", b"shard")
    link_or_copy(f"{folder}/source", f"{folder}/versions/one/shard")
    assert read_bytes(f"{folder}/versions/one/shard") == b"shard"


def test_damaged_json_is_an_error_with_a_remedy(tmp_path):
    write_bytes(str(tmp_path / "manifest.json"), b'{"format": 1')
    with pytest.raises(StoreError, match=r"manifest\.json: not a JSON file .* delete its folder"):
        read_json(str(tmp_path / "manifest.json"))


@pytest.mark.parametrize(
    ("url", "remedy"), [("nosuch://bucket/file", "use a local path"), ("s3://bucket/file", "glam[s3]")]
)
def test_an_address_without_its_package_is_told_with_the_remedy(url, remedy, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)  # as if the extra were not installed
    with pytest.raises(StoreError, match=re.escape(remedy)):
        exists(url)


def test_a_device_or_pipe_is_not_replaced_by_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreError, match=r"pipe: cannot be written \(it is there and is no regular file\)"):
        write_bytes(str(tmp_path / "pipe"), b"text")
    assert (tmp_path / "pipe").is_fifo()


def test_files_that_another_process_makes_and_renames_meanwhile_do_not_end_a_listing(tmp_path):
    write_bytes(str(tmp_path / "steady"), b"1234")
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            write_bytes(str(tmp_path / "folder" / "lease"), b"12")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3000):
            assert sizes_under(str(tmp_path))["steady"] == 4
    finally:
        stop.set()
        writer.join()
    assert sizes_under(str(tmp_path)) == {"steady": 4, "folder/lease": 2}
