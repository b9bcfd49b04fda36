"""Any mutation of a shard, its index or a manifest: the sound content, or a `GlamError` that names the file; never
another error, never other content.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.store.files import StoreError, write_bytes
from pipelines.store.stages import StageKey, Store, StoredFile, merkle_root, read_manifest
from pipelines.store.tfrecord import ShardReader, ShardWriter, index_url
from pipelines.store.verification import verify_version
from pipelines.store.versions import find_version, list_versions, publish_version, version_id

FUZZ = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PAYLOADS = [bytes([number]) * (10 + number) for number in range(6)]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("../../x"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def mutated(draw: Any, data: bytes) -> bytes:
    """Draw bytes with others in the place of some."""
    start = draw(st.integers(0, len(data)))
    end = draw(st.sampled_from([start, start + 1, start + 8, len(data)]) | st.integers(start, len(data)))
    put = draw(st.binary(max_size=24) | st.builds(lambda n: data[n : n + 40], st.integers(0, len(data))))
    return data[:start] + put + data[end:]


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    """The url of a shard, and the bytes of it and of its index by path."""
    url = str(tmp_path_factory.mktemp("shard") / "part-00000-of-00001.tfrecord")
    with ShardWriter(url) as writer:
        for payload in PAYLOADS:
            writer.write(payload)
    return url, {path: path.read_bytes() for path in (Path(url), Path(index_url(url)))}


def restore(files: dict[Path, bytes]) -> None:
    """Write files as they were, before the next mutation of one of them."""
    for path, content in files.items():
        path.write_bytes(content)


@pytest.mark.parametrize("which", ["shard", "index"])
@FUZZ
@given(data=st.data())
def test_a_mutation_of_a_shard_or_its_index_is_found(which, data, shard):
    url, files = shard
    restore(files)
    path = Path(url if which == "shard" else index_url(url))
    sound = files[path]
    path.write_bytes(mutated(data.draw, sound))
    try:
        reader = ShardReader(url)
    except StoreError as error:
        assert "part-00000-of-00001." in str(error)  # noqa: PT017  (it need not be raised)
        assert "build again" in str(error)  # noqa: PT017
        return
    read = []
    for number in range(len(reader)):
        try:
            read.append(reader.record(number))
        except StoreError as error:
            assert f"part-00000-of-00001.tfrecord: record {number} is damaged" in str(error)  # noqa: PT017
    assert [payload for payload in read if payload not in PAYLOADS] == []
    if path.read_bytes() == sound:
        assert read == PAYLOADS
    else:
        assert len(read) < len(PAYLOADS)


def test_a_shard_without_its_index_or_without_itself_is_named(tmp_path):
    url = str(tmp_path / "part-00000-of-00001.tfrecord")
    with ShardWriter(url) as writer:
        writer.write(b"payload")
    Path(index_url(url)).unlink()
    with pytest.raises(StoreError, match=r"part-00000-of-00001\.tfrecord: it or its index cannot be read"):
        ShardReader(url)


def make_store(folder: Path) -> tuple[Path, Path]:
    """Write a store of one stage and one version; return their manifests."""
    url = folder / "versions" / "x"
    digests = {
        path: write_bytes(f"{url}/{path}", path.encode())
        for path in ("train/web/part-00000-of-00001.tfrecord", "heldout/crawl/part-00000-of-00001.tfrecord", "model")
    }
    files = [StoredFile.of(path, digest, rows=1, tokens=5) for path, digest in digests.items()]
    recipe = {"seed": 1}
    train, held, _ = digests
    counts = {"records": 1, "tokens": 5, "documents": 1}
    facts = {"component": "web", "out_of_domain": False, "bytes": 9}
    body = {
        "name": "all",
        "id": version_id(recipe, merkle_root([file.to_json() for file in files])),
        "recipe": recipe,
        "sequence_length": 4,
        "vocabulary_size": 9,
        "token_dtype": "uint16",
        "components": {"web": {"weight": 1.0, "variant": "all", "tokens_cut": 0, **counts, "shards": [train]}},
        "heldout": {"crawl": {**facts, **counts, "shards": [held]}},
        "tokenizer": "model",
        "ledger": {},
        "side": {"config": "test", "created": "2026-01-01T00:00:00+00:00", "names": {"all": "2026-01-01"}},
    }
    publish_version(str(url), files, body)
    stage = Store(str(folder)).begin(StageKey("holdout", {}, {}, ("pipelines.store.hashing",)))
    digest = write_bytes(stage.path("decisions/a"), b"rows")
    done = stage.finish([StoredFile.of("decisions/a", digest, rows=4)])
    return url / "manifest.json", Path(done.url) / "manifest.json"


@pytest.fixture(scope="module")
def manifests(tmp_path_factory):
    """A store, and the bytes of its version's and its stage's manifests by path."""
    store = tmp_path_factory.mktemp("store")
    return store, {path: path.read_bytes() for path in make_store(store)}


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Return the path of every value in a JSON value, but its own."""
    if isinstance(value, dict):
        return [p for key, inner in value.items() for p in [(*path, key), *places(inner, (*path, key))]]
    if isinstance(value, list):
        return [p for n, inner in enumerate(value) for p in [(*path, n), *places(inner, (*path, n))]]
    return []


def changed(draw: Any, manifest: Any) -> Any:
    """Draw a manifest in which a value is another, or is missing."""
    made = copy.deepcopy(manifest)
    *parents, last = draw(st.sampled_from(places(manifest)))
    node = made
    for key in parents:
        node = node[key]
    if draw(st.booleans()):
        del node[last]
    else:
        node[last] = draw(JSON)
    return made


@pytest.mark.parametrize("how", ["bytes", "values"])
@FUZZ
@given(data=st.data())
def test_a_mutation_of_a_manifest_is_named_or_means_what_it_says(how, data, manifests):
    store, sound_bytes = manifests
    restore(sound_bytes)
    path, kind = data.draw(st.sampled_from(list(zip(sound_bytes, ("version", "stage"), strict=True))))
    sound = sound_bytes[path]
    new = mutated(data.draw, sound) if how == "bytes" else json.dumps(changed(data.draw, json.loads(sound))).encode()
    path.write_bytes(new)
    try:
        manifest = read_manifest(str(path.parent), kind)
    except StoreError as error:
        assert str(path) in str(error)  # noqa: PT017  (it need not be raised)
        manifest = None
    seen: list[str] = []
    versions = list_versions(str(store), lambda url, _: seen.append(url))
    assert len(versions) == 1 or (kind == "version" and manifest is None and seen)
    for found in versions:
        shards = [shard for part in (*found.components.values(), *found.heldout.values()) for shard in part.shards]
        for url in [*shards, found.tokenizer_url]:
            assert url.startswith(f"{store}/versions/x/")
            assert ".." not in url.split("/")
        assert isinstance(found.repetition_limits.max_epochs, float)
        assert found.sequence_length > 0
        bad = verify_version(found)
        assert bool(bad) == (kind == "version" and _identity(json.loads(sound)) != _identity(found.manifest))
    try:
        find_version(str(store), "all")
    except StoreError as error:
        assert str(store) in str(error)  # noqa: PT017


def _identity(manifest: Any) -> list[Any]:
    """Return what a version's id covers, and the ids."""
    files = [{key: file[key] for key in ("path", "sha256", "size")} for file in manifest["files"]]
    return [sorted(files, key=lambda file: file["path"]), *(manifest[key] for key in ("id", "output_id", "recipe"))]
