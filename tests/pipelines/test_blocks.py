"""Blocks on one machine lie in files on their way; nothing of them is left after the job, nor after a kill."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys

import pytest

from pipelines.blocks import Blocks
from pipelines.engine import Engine
from pipelines.store.files import StoreError

BLOCKS = [(3, b"text of shard 3"), (1, b""), (3, bytes(range(256)) * 300)]


@pytest.mark.parametrize("options", [(), ("--runner=PortableRunner",)], ids=["this machine", "elsewhere"])
def test_what_is_sent_is_received(options, tmp_path):
    with Engine(options).blocks(str(tmp_path)) as blocks:
        sent = list(blocks.sent(iter(BLOCKS)))
        receiver = pickle.loads(pickle.dumps(blocks))
        assert [address for address, _ in sent] == [address for address, _ in BLOCKS]
        assert list(receiver.received(block for _, block in sent)) == [data for _, data in BLOCKS]
        assert list(blocks.sent(iter([]))) == []


def test_on_one_machine_only_places_are_sent_and_their_files_go_with_the_job(tmp_path):
    with Engine().blocks(str(tmp_path)) as blocks:
        assert all(isinstance(block, tuple) for _, block in blocks.sent(iter(BLOCKS)))
        assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1
    assert list((tmp_path / "jobs").iterdir()) == []


def test_elsewhere_the_shuffle_of_the_engine_carries_the_bytes(tmp_path):
    with Engine(["--runner=PortableRunner"]).blocks(str(tmp_path)) as blocks:
        assert list(blocks.sent(iter(BLOCKS))) == BLOCKS
    assert list(tmp_path.iterdir()) == []


def test_blocks_of_a_remote_store_lie_on_this_machine():
    with Engine().blocks("memory://bucket/store") as blocks:
        sent = [block for _, block in blocks.sent(iter(BLOCKS))]
        assert all(isinstance(block, tuple) for block in sent)
        assert list(blocks.received(sent)) == [data for _, data in BLOCKS]


def test_the_blocks_of_a_killed_build_are_deleted_by_the_next_and_those_of_others_are_not(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host = socket.gethostname()
    killed = f"blocks-{host}-{gone.pid}-0123abcd"
    others = [f"blocks-{host}-{os.getppid()}-0123abcd", f"blocks-another{host}-{gone.pid}-0123abcd", "ab12"]
    for name in (killed, *others):
        (tmp_path / "jobs" / name).mkdir(parents=True)
        (tmp_path / "jobs" / name / "block").write_bytes(b"text")
    with Engine().blocks(str(tmp_path)):
        pass
    assert sorted(path.name for path in (tmp_path / "jobs").iterdir()) == sorted(others)


def test_a_disk_without_room_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"missing/.*cannot be written \(No such file or directory\); make room"):
        list(Blocks(str(tmp_path / "missing")).sent(iter(BLOCKS)))
