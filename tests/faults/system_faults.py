"""What the machine does to a build: folders in the place of files, permissions, a full disk."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.corpus import PLAIN, write_corpus
from tests.faults.processes import Limits
from tests.faults.workplace import NotHere, Row, Scenario, Workplace, build, bytes_of, require, require_told

NOBODY = 65534
DISK_BYTES = 64 << 20


def folder_for_input(place: Workplace) -> Row:
    """An input file is a folder."""
    room = place.room("folder for input")
    config = write_corpus(room / "data", PLAIN)
    lines = room / "data" / "news" / "lines.jsonl"
    content = lines.read_bytes()
    lines.unlink()
    lines.mkdir()
    run = build(config, room / "store")
    require_told(run, 1, rf"error: source lines: {lines} is a folder", r"DIR/\*")
    require(not list(room.glob("store/stages/*/*/manifest.json")), "a stage was finished")
    lines.rmdir()
    lines.write_bytes(content)
    same = bytes_of(build(config, room / "store")) == place.plain.undisturbed
    injected = "news/lines.jsonl is a folder"
    return Row("folder in the place of an input file", injected, "refused before any work", 1, run.message, same)


def folder_for_shard(place: Workplace) -> Row:
    """A folder lies where a shard is to be written."""
    room = place.room("folder for shard")
    assert place.plain.undisturbed
    (shard,) = place.plain.store.glob("stages/extract/*/documents/lines/*.parquet")
    blocked = room / "store" / shard.relative_to(place.plain.store)
    blocked.mkdir(parents=True)
    run = build(place.plain.config, room / "store")
    require_told(run, 1, rf"{blocked}: cannot be written \(it is there and is no regular file\)")
    blocked.rmdir()
    same = bytes_of(build(place.plain.config, room / "store")) == place.plain.undisturbed
    injected = "a folder of the name of a document shard"
    return Row("folder in the place of a shard", injected, "extraction ends, no manifest", 1, run.message, same)


def unreadable_input(place: Workplace) -> Row:
    """An input file that the user may not read."""
    room = place.room("unreadable input")
    config = write_corpus(room / "data", PLAIN)
    lines = room / "data" / "news" / "lines.jsonl"
    lines.chmod(0)
    with _as_nobody(room) as limits:
        run = build(config, room / "store", limits=limits)
    require_told(run, 1, rf"{lines}: cannot be read \(Permission denied\); mend it or take it out")
    lines.chmod(0o644)
    same = bytes_of(build(config, room / "store")) == place.plain.undisturbed
    injected = "mode 000, the build is another user's than root"
    return Row("unreadable input file", injected, "refused before any work", 1, run.message, same)


def unwritable_store(place: Workplace) -> Row:
    """A store in which the user may not write."""
    room = place.room("unwritable store")
    store = room / "store"
    store.mkdir()
    store.chmod(0o555)
    with _as_nobody(room) as limits:
        run = build(place.plain.config, store, limits=limits)
    require_told(run, 1, rf"{store}/.*: cannot be written \(Permission denied\); make room, mend permissions")
    store.chmod(0o755)
    same = bytes_of(build(place.plain.config, store)) == place.plain.undisturbed
    injected = "mode 555, the build is another user's than root"
    return Row("store without permission to write", injected, "nothing is written", 1, run.message, same)


@contextmanager
def _as_nobody(room: Path) -> Iterator[Limits]:
    """Give a folder to a user without rights, if this one is root; one who is not root has none already."""
    if os.geteuid() != 0:
        yield Limits()
        return
    parents = [room, *room.parents]
    modes = {folder: folder.stat().st_mode for folder in parents}
    try:
        for folder in parents:
            if not modes[folder] & 0o001:
                folder.chmod(modes[folder] | 0o011)
        for path in [room, *room.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)
        yield Limits(user=NOBODY)
    finally:
        for folder, mode in modes.items():
            folder.chmod(mode)


def disk_full(place: Workplace, share: float, where: str) -> Row:
    """The disk is full when a share of the store is written; then room is made."""
    assert place.plain.undisturbed
    size = sum(file.stat().st_size for file in place.plain.store.rglob("*") if file.is_file())
    room = place.room(f"disk full {where}")
    with _small_disk(room) as disk:
        left = shutil.disk_usage(disk).free - int(size * share)
        with (disk / "ballast").open("wb") as ballast:
            ballast.write(bytes(left // 4096 * 4096))
        run = build(place.plain.config, disk / "store")
        require_told(run, 1, rf"{disk}/store/.*: cannot be written \(No space left on device\); make room")
        left_over = list((disk / "store").rglob(".*.tmp"))
        require(not left_over, f"temporary files are left: {left_over}")
        finished = len(list((disk / "store").rglob("manifest.json")))
        (disk / "ballast").unlink()
        again = build(place.plain.config, disk / "store")
        same = bytes_of(again) == place.plain.undisturbed
        assert again.answer is not None
        require(again.answer["stages"]["reused"] == finished, "finished stages were computed again")
    injected = f"a tmpfs with room for {share:.0%} of the store"
    happened = f"{finished} stages finished, no temporary file left; they are reused"
    message = run.message.replace(str(disk), "DISK")
    return Row(f"disk full, {where}", injected, happened, 1, message, same)


@contextmanager
def _small_disk(room: Path) -> Iterator[Path]:
    """Mount a small disk for as long as the context is open, seen through the process that holds it."""
    mounted = room / "disk"
    mounted.mkdir()
    script = 'mount -t tmpfs -o size="$1" none "$0" && echo ready && exec cat'
    reasons = []
    for options in ("-Urm", "-m"):
        command = ["unshare", options, "sh", "-c", script, str(mounted), str(DISK_BYTES)]
        try:
            holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        except FileNotFoundError as error:
            raise NotHere(f"no small disk can be mounted: {error}") from error
        with holder:
            assert holder.stdout is not None
            assert holder.stderr is not None
            if holder.stdout.readline() == b"ready\n":
                yield Path(f"/proc/{holder.pid}/root{mounted}")
                return
            reasons.append(holder.stderr.read().decode().strip())
    raise NotHere(f"no small disk can be mounted: {'; '.join(reasons)}")


def file_limit(place: Workplace) -> Row:
    """A limit on the size of files, which stands in for a full disk where none can be mounted."""
    room = place.room("file limit")
    run = build(place.plain.config, room / "store", limits=Limits(file_bytes=8192))
    require_told(run, 1, rf"{room}/store/.*: cannot be written \(File too large\); make room")
    left_over = list((room / "store").rglob(".*.tmp"))
    require(not left_over, f"temporary files are left: {left_over}")
    same = bytes_of(build(place.plain.config, room / "store")) == place.plain.undisturbed
    injected = "RLIMIT_FSIZE of 8 KiB"
    return Row("write refused by the kernel", injected, "no temporary file left", 1, run.message, same)


SCENARIOS: dict[str, Scenario] = {
    "folder in the place of an input file": folder_for_input,
    "folder in the place of a shard": folder_for_shard,
    "unreadable input file": unreadable_input,
    "store without permission to write": unwritable_store,
    "disk full, extraction": lambda place: disk_full(place, 0.1, "extraction"),
    "disk full, later": lambda place: disk_full(place, 0.8, "later"),
    "write refused by the kernel": file_limit,
}
