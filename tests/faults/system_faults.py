"""What refuses a build on its way: folders in the place of files, permissions, a configuration of a newer version, a
full disk.

One build of one corpus meets them one after the other, in the same store, each mended before the next; the last one
ends, and must give the bytes of an undisturbed build.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.faults.corpus import PLAIN, write_corpus
from tests.faults.processes import Limits, Run
from tests.faults.workplace import NotHere, Row, Scenario, Workplace, build, bytes_of, require, require_told

NOBODY = 65534
DISK_BYTES = 64 << 20
SHARES = {"disk full, extraction": 0.1, "disk full, later": 0.8}
"""Of the bytes of a store there is room for."""


@dataclass
class _Site:
    """The corpus and the store that the faults meet, and a store without any."""

    data: Path
    config: Path
    store: Path
    sound_store: Path

    @property
    def lines(self) -> Path:
        return self.data / "news" / "lines.jsonl"

    def build(self, limits: Limits | None = None) -> Run:
        return build(self.config, self.store, limits=limits)

    def permit(self, mode: int) -> None:
        """Give every folder of the store these permissions."""
        self.store.mkdir(exist_ok=True)
        for folder in (self.store, *(path for path in self.store.rglob("*") if path.is_dir())):
            folder.chmod(mode)


@dataclass(frozen=True)
class _Refusal:
    """A fault: what is injected, what becomes of the build, and the function that makes, checks and mends it."""

    injected: str
    happened: str
    meet: Callable[[_Site], Run]


def _folder_for_input(site: _Site) -> Run:
    content = site.lines.read_bytes()
    site.lines.unlink()
    site.lines.mkdir()
    run = site.build()
    site.lines.rmdir()
    site.lines.write_bytes(content)
    require_told(run, 1, rf"error: source lines: {site.lines} is a folder", r"name the files in it \(DIR/\*\)")
    return run


def _unreadable_input(site: _Site) -> Run:
    site.lines.chmod(0)
    site.permit(0o777)
    with _as_nobody(site) as limits:
        run = site.build(limits)
    site.lines.chmod(0o644)
    require_told(run, 1, rf"{site.lines}: cannot be read \(Permission denied\); mend it or take it out")
    return run


def _unwritable_store(site: _Site) -> Run:
    site.permit(0o555)
    with _as_nobody(site) as limits:
        run = site.build(limits)
    site.permit(0o755)
    require_told(run, 1, rf"{site.store}/.*: cannot be written \(Permission denied\); make room, mend permissions")
    return run


def _newer_configuration(site: _Site) -> Run:
    text = site.config.read_text()
    site.config.write_text("format = 2\n" + text + "\n[vectors]\ndimension = 8\n")
    run = site.build()
    site.config.write_text("format = 1\n" + text)
    require_told(run, 1, rf"{site.config}: format 2, this program reads up to 1; install a newer version")
    return run


def _newer_key(site: _Site) -> Run:
    text = site.config.read_text()
    site.config.write_text(text.replace("[holdout]", "[holdout]\nstratify = true"))
    run = site.build()
    site.config.write_text(text)
    require_told(run, 1, rf"{site.config}: holdout\.stratify: there is no such key; .*install the newer version")
    return run


def _file_limit(site: _Site) -> Run:
    run = site.build(Limits(file_bytes=8192))
    require_told(run, 1, rf"{site.store}/.*: cannot be written \(File too large\); make room")
    _require_no_temporaries(site.store)
    return run


def _folder_for_shard(site: _Site) -> Run:
    (shard,) = site.sound_store.glob("stages/extract/*/documents/lines/*.parquet")
    blocked = site.store / shard.relative_to(site.sound_store)
    blocked.unlink(missing_ok=True)
    blocked.mkdir(parents=True)
    run = site.build()
    blocked.rmdir()
    require_told(run, 1, rf"{blocked}: cannot be written \(it is there and is no regular file\)")
    return run


REFUSALS = {
    "configuration from a newer version": _Refusal("format = 2", "refused before any work", _newer_configuration),
    "configuration with a key of a newer version": _Refusal("holdout.stratify", "refused before any work", _newer_key),
    "folder in the place of an input file": _Refusal(
        "news/lines.jsonl is a folder", "refused before any work", _folder_for_input
    ),
    "unreadable input file": _Refusal(
        "mode 000; the build is not root's", "refused before any work", _unreadable_input
    ),
    "store without permission to write": _Refusal(
        "mode 555; the build is not root's", "nothing is written", _unwritable_store
    ),
    "write refused by the kernel": _Refusal("RLIMIT_FSIZE of 8 KiB", "no temporary file is left", _file_limit),
    "folder in the place of a shard": _Refusal(
        "a folder of the name of a document shard", "extraction ends", _folder_for_shard
    ),
}


def refused(place: Workplace) -> dict[str, Row]:
    """Meet one refusal after the other, then build."""
    assert place.plain.undisturbed
    room = place.room("refused")
    config = write_corpus(room / "data", PLAIN)
    site = _Site(room / "data", config, room / "store", place.plain.store)
    runs = {}
    for name, refusal in REFUSALS.items():
        runs[name] = refusal.meet(site)
        require(not list(site.store.glob("stages/*/*/manifest.json")), f"{name}: a stage was finished")
    same = bytes_of(site.build()) == place.plain.undisturbed
    return {
        name: Row(name, REFUSALS[name].injected, REFUSALS[name].happened, run.exit_code, run.message, same)
        for name, run in runs.items()
    }


@contextmanager
def _as_nobody(site: _Site) -> Iterator[Limits]:
    """Let a user without rights reach the corpus, if this one is root; one who is not root has none already."""
    if os.geteuid() != 0:
        yield Limits()
        return
    modes = {folder: folder.stat().st_mode for folder in site.data.parents if not folder.stat().st_mode & 0o001}
    try:
        for folder, mode in modes.items():
            folder.chmod(mode | 0o011)
        yield Limits(user=NOBODY)
    finally:
        for folder, mode in modes.items():
            folder.chmod(mode)


def disk_full(place: Workplace) -> dict[str, Row]:
    """Build on a disk with room for a share of the store, make room for more, at last for all."""
    assert place.plain.undisturbed
    size = sum(file.stat().st_size for file in place.plain.store.rglob("*") if file.is_file())
    runs, finished = {}, {}
    with _small_disk(place.room("disk full")) as disk:
        for name, share in SHARES.items():
            _fill(disk, size, share)
            run = runs[name] = build(place.plain.config, disk / "store")
            require_told(run, 1, rf"{disk}/store/.*: cannot be written \(No space left on device\); make room")
            _require_no_temporaries(disk / "store")
            finished[name] = len(list((disk / "store").rglob("manifest.json")))
        (disk / "ballast").unlink()
        again = build(place.plain.config, disk / "store")
        same = bytes_of(again) == place.plain.undisturbed
    assert again.answer is not None
    require(again.answer["stages"]["reused"] == list(finished.values())[-1], "finished stages were computed again")
    return {
        name: Row(
            name,
            f"a tmpfs with room for {SHARES[name]:.0%} of the store",
            f"{finished[name]} stages finished and reused; no temporary file is left",
            run.exit_code,
            run.message.replace(str(disk), "DISK"),
            same,
        )
        for name, run in runs.items()
    }


def _fill(disk: Path, size: int, share: float) -> None:
    """Leave room for a share of a store of this size."""
    ballast, there = disk / "ballast", sum(f.stat().st_size for f in disk.glob("store/**/*") if f.is_file())
    ballast.unlink(missing_ok=True)
    room = max(0, int(size * share) - there)
    ballast.write_bytes(bytes((shutil.disk_usage(disk).free - room) // 4096 * 4096))


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
            assert holder.stdin is not None
            assert holder.stdout is not None
            assert holder.stderr is not None
            if holder.stdout.readline() == b"ready\n":
                try:
                    yield Path(f"/proc/{holder.pid}/root{mounted}")
                finally:
                    holder.stdin.close()
                return
            reasons.append(holder.stderr.read().decode().strip())
    raise NotHere(f"no small disk can be mounted: {'; '.join(reasons)}")


def _require_no_temporaries(store: Path) -> None:
    left_over = list(store.rglob(".*.tmp"))
    require(not left_over, f"temporary files are left: {left_over}")


def _one(group: str, make: Callable[[Workplace], dict[str, Row]], name: str, place: Workplace) -> Row:
    return place.group(group, make, name)


SCENARIOS: dict[str, Scenario] = {
    **{name: partial(_one, "refused", refused, name) for name in REFUSALS},
    **{name: partial(_one, "disk full", disk_full, name) for name in SHARES},
}
