"""Damage in the store, and files of a newer version of the program."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.store.stages import FORMAT
from pipelines.store.tfrecord import FOOTER_BYTES, HEADER_BYTES, frame
from tests.faults.processes import Run, glam
from tests.faults.workplace import Row, Scenario, Workplace, build, bytes_of, require_told

TRAINING = """
version = "all"
[model]
layers = 2
model_dim = 16
hidden_dim = 32
heads = 2
head_dim = 8
experts = 2
group_size = 64
[training]
steps = 2
batch_rows = 4
"""


def _store(place: Workplace, name: str) -> Path:
    """Return a copy of a finished store, in a folder of the scenario's own."""
    assert place.plain.undisturbed
    return Path(shutil.copytree(place.plain.store, place.room(name) / "store"))


def _version(store: Path) -> Path:
    (folder,) = (store / "versions").iterdir()
    return folder


def _flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def flipped_version_shard(place: Workplace) -> Row:
    """A training shard of a version, and of its stage with which it shares the bytes, has another byte."""
    store = _store(place, "flipped version shard")
    folder = _version(store)
    shard = folder / "train/news/part-00000-of-00001.tfrecord"
    _flip(shard)
    run = glam("verify", "all", "--store", store)
    require_told(
        run, 1, r"train/news/part-00000-of-00001\.tfrecord: sha256 .*, the manifest says", "delete .* and build again"
    )
    (packed,) = (
        path for path in store.glob("stages/pack/*/all/*.tfrecord") if path.stat().st_size == shard.stat().st_size
    )
    shutil.copyfile(shard, packed)
    shutil.rmtree(re.search(r"delete (\S+) and build again", run.stderr)[1])  # type: ignore[index]
    named = build(place.plain.config, store)
    require_told(named, 1, rf"{packed}: its bytes are not those its stage wrote; delete \S+ and build again")
    shutil.rmtree(re.search(r"delete (\S+) and build again", named.stderr)[1])  # type: ignore[index]
    same = bytes_of(build(place.plain.config, store)) == place.plain.undisturbed
    happened = "verify names it; what the messages say is done"
    return Row("flipped byte in a version's shard", "one bit, in the stage's file too", happened, 1, _told(run), same)


def flipped_document_shard(place: Workplace) -> Row:
    """A document shard has another byte, and a stage that reads it is not there."""
    store = _store(place, "flipped document shard")
    (shard,) = store.glob("stages/extract/*/documents/lines/*.parquet")
    _flip(shard)
    shutil.rmtree(store / "stages" / "deduplicate")
    run = build(place.plain.config, store, ["select.min_characters=101"])
    require_told(run, 1, rf"{shard}: not a sound Parquet file .*; delete its stage's folder and build again")
    shutil.rmtree(shard.parents[2])
    same = bytes_of(build(place.plain.config, store)) == place.plain.undisturbed
    happened = "the stage that reads it ends and names it; its folder is deleted"
    return Row("flipped byte in a document shard", "one bit", happened, 1, run.message, same)


def _changed_manifest(
    place: Workplace, name: str, path: str, change: Callable[[dict[str, Any]], object]
) -> tuple[Path, Path]:
    store = _store(place, name)
    (manifest,) = store.glob(path)
    body = json.loads(manifest.read_text())
    change(body)
    manifest.write_text(json.dumps(body))
    return store, manifest


def escaping_path(place: Workplace) -> Row:
    """A version's manifest names a file outside its folder."""

    def change(body: dict[str, Any]) -> None:
        body["files"][0]["path"] = "../../../../etc/passwd"

    store, manifest = _changed_manifest(place, "escaping path", "versions/*/manifest.json", change)
    run = glam("verify", manifest.parent.name, "--store", store)
    require_told(run, 1, rf"{manifest}: .*'\.\./\.\./\.\./\.\./etc/passwd' leaves .*; do not trust this store")
    shutil.rmtree(manifest.parent)
    same = bytes_of(build(place.plain.config, store)) == place.plain.undisturbed
    return Row(
        "manifest with a path that leaves the store", "../../../../etc/passwd", "nothing is read", 1, run.message, same
    )


def escaping_shard(place: Workplace) -> Row:
    """A version's manifest names a training shard outside its folder."""

    def change(body: dict[str, Any]) -> None:
        body["components"]["news"]["shards"] = ["/etc/passwd"]

    store, manifest = _changed_manifest(place, "escaping shard", "versions/*/manifest.json", change)
    config = manifest.parents[2].parent / "training.toml"
    config.write_text(TRAINING)
    version = f"version={manifest.parent.name}"
    run = glam("train", config, "--run", config.parent / "run", "--store", store, "--set", version)
    require_told(run, 1, rf"{manifest}: .*'/etc/passwd' leaves the version's folder; do not trust this store")
    shutil.rmtree(manifest.parent)
    same = bytes_of(build(place.plain.config, store)) == place.plain.undisturbed
    return Row(
        "manifest with a shard that is not among its files", "/etc/passwd", "nothing is read", 1, run.message, same
    )


def newer_manifest(place: Workplace) -> Row:
    """A manifest of a stage is of a format that this program does not know."""
    store, manifest = _changed_manifest(
        place, "newer manifest", "stages/holdout/*/manifest.json", lambda body: body.update(format=FORMAT + 1)
    )
    run = build(place.plain.config, store)
    require_told(run, 1, rf"{manifest}: format \d, this program reads up to {FORMAT}; install a newer version")
    shutil.rmtree(manifest.parent)
    same = bytes_of(build(place.plain.config, store)) == place.plain.undisturbed
    return Row("manifest from a newer version", "the next format", "refused", 1, run.message, same)


def _train_on(place: Workplace, name: str, damage: Callable[[bytes], bytes]) -> tuple[Run, bool]:
    """Damage a shard, train on it, do what the message says; return the run and whether the bytes
    are the same.
    """
    store = _store(place, name)
    shard = _version(store) / "train/news/part-00000-of-00001.tfrecord"
    shard.write_bytes(damage(shard.read_bytes()))
    config = store.parent / "training.toml"
    config.write_text(TRAINING)
    run = glam("train", config, "--run", store.parent / "run", "--store", store)
    require_told(
        run,
        1,
        rf"{shard}: sha256 \w+, the manifest says \w+: the corpus was changed since it was built",
        "bring the files back, or delete the version and build it again",
    )
    require_told(glam("verify", "all", "--store", store), 1, r"train/news/part-00000-of-00001\.tfrecord")
    shutil.rmtree(_version(store))
    return run, bytes_of(build(place.plain.config, store)) == place.plain.undisturbed


def _each_record(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Change every framed record of a shard."""
    changed, at = [], 0
    while at < len(data):
        end = at + HEADER_BYTES + int.from_bytes(data[at : at + 8], "little") + FOOTER_BYTES
        changed.append(change(data[at:end]))
        at = end
    return b"".join(changed)


def wrong_crc(place: Workplace) -> Row:
    """The CRC of the payload is another."""

    def damage(data: bytes) -> bytes:
        return _each_record(data, lambda record: record[:-FOOTER_BYTES] + bytes(FOOTER_BYTES))

    run, same = _train_on(place, "wrong CRC", damage)
    return Row(
        "TFRecord with a wrong CRC", "zeros for the CRC of each record", "training is refused", 1, run.message, same
    )


def wrong_length(place: Workplace) -> Row:
    """The length, with a CRC that fits it, is one byte less than the record."""

    def shorter(record: bytes) -> bytes:
        payload = record[HEADER_BYTES:-FOOTER_BYTES]
        return frame(payload[:-1])[:HEADER_BYTES] + record[HEADER_BYTES:]

    run, same = _train_on(place, "wrong length", lambda data: _each_record(data, shorter))
    return Row(
        "TFRecord with a wrong length", "a byte less in each record", "training is refused", 1, run.message, same
    )


def _told(run: Run) -> str:
    """Return what a command that has no error to tell told last."""
    return "; ".join(run.stderr.strip().splitlines()[-2:])


SCENARIOS: dict[str, Scenario] = {
    "flipped byte in a version's shard": flipped_version_shard,
    "flipped byte in a document shard": flipped_document_shard,
    "manifest with a path that leaves the store": escaping_path,
    "manifest with a shard that is not among its files": escaping_shard,
    "manifest from a newer version": newer_manifest,
    "TFRecord with a wrong CRC": wrong_crc,
    "TFRecord with a wrong length": wrong_length,
}
