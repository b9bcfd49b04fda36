"""A stage is a function of its fingerprint, and exists only with its manifest."""

import json

import pytest

from pipelines.store import code_identity
from pipelines.store.files import StoreError, join, write_bytes, write_json
from pipelines.store.stages import StageKey, Store, StoredFile, read_manifest
from pipelines.store.verification import verify_version
from pipelines.store.versions import find_version, list_versions, publish_version, version_id


def key(**changes):
    values = {"stage": "holdout", "recipe": {"share": 0.1}, "inputs": {"documents": "aa"}}
    return StageKey(**{**values, "modules": ("pipelines.store.hashing",), "packages": ("pyarrow",), **changes})


def test_everything_that_can_change_the_bytes_changes_the_fingerprint():
    keys = [
        key(),
        key(stage="sample"),
        key(recipe={"share": 0.2}),
        key(inputs={"documents": "bb"}),
        key(modules=("pipelines.store.ledger",)),
        key(packages=("numpy",)),
    ]
    assert len({k.fingerprint for k in keys}) == len(keys)
    assert key().fingerprint == key().fingerprint


def write_stage(store, stage_key, content=b"rows"):
    stage = store.begin(stage_key)
    digest = write_bytes(stage.path("decisions/a"), content)
    return stage.finish([StoredFile.of("decisions/a", digest, rows=4)], summary={"n": 1})


def test_a_stage_without_a_manifest_does_not_exist(tmp_path):
    store = Store(str(tmp_path))
    write_bytes(store.begin(key()).path("decisions/a"), b"rows")
    assert store.finished(key()) is None
    done = write_stage(store, key())
    again = store.finished(key())
    assert not done.reused
    assert again.reused
    assert again.output_id == done.output_id
    assert again.rows("decisions/") == 4


def test_the_output_id_is_that_of_the_bytes_alone(tmp_path):
    one = write_stage(Store(str(tmp_path / "one")), key())
    two = write_stage(Store(str(tmp_path / "two")), key(recipe={"share": 0.2}))
    three = write_stage(Store(str(tmp_path / "three")), key(), b"other")
    assert one.output_id == two.output_id != three.output_id


def test_a_manifest_of_a_newer_format_or_with_paths_outside_is_refused(tmp_path):
    done = write_stage(Store(str(tmp_path)), key())
    write_json(join(done.url, "manifest.json"), {**done.manifest, "format": 99})
    with pytest.raises(StoreError, match="install a newer version"):
        read_manifest(done.url, "stage")
    files = [{**done.manifest["files"][0], "path": "../../secrets"}]
    write_json(join(done.url, "manifest.json"), {**done.manifest, "files": files})
    with pytest.raises(StoreError, match="leaves the stage's folder"):
        read_manifest(done.url, "stage")


def test_code_identity_ignores_comments_and_docstrings_but_not_code(tmp_path, monkeypatch):
    package = tmp_path / "pipelines"
    package.mkdir()

    def identity(main, helper):
        (package / "main_module.py").write_text(main)
        (package / "helper_module.py").write_text(helper)
        for cached in (code_identity.code_identity, code_identity._syntax_tree, code_identity._imports):
            cached.cache_clear()
        code_identity._normalized_hash.cache_clear()
        return code_identity.code_identity("pipelines.main_module")

    monkeypatch.setattr(code_identity, "ROOT", tmp_path)
    main = "def f():\n    from pipelines.helper_module import g\n    return g()\n"
    helper = "def g():\n    return 1\n"
    plain = identity(main, helper)
    assert identity('"""Doc."""\n' + main, "# comment\n" + helper.replace("():", "():\n    'Doc.'")) == plain
    assert identity(main, helper.replace("1", "2")) != plain
    for cached in (code_identity.code_identity, code_identity._syntax_tree, code_identity._imports):
        cached.cache_clear()
    code_identity._normalized_hash.cache_clear()


@pytest.fixture
def version(tmp_path):
    recipe = {"seed": 1}
    url = join(str(tmp_path), "versions", "x")
    digest = write_bytes(join(url, "train/web/part-00000-of-00001.tfrecord"), b"shard")
    file = StoredFile.of("train/web/part-00000-of-00001.tfrecord", digest, rows=1, tokens=5)
    from pipelines.store.stages import merkle_root

    body = {"name": "filtered", "recipe": recipe, "id": version_id(recipe, merkle_root([file.to_json()]))}
    side = {"created": "2026-01-01T00:00:00+00:00", "config": "test", "names": {"filtered": "2026-01-01"}}
    facts = {"sequence_length": 4, "vocabulary_size": 9, "token_dtype": "uint16", "tokenizer": "tokenizer.model"}
    return publish_version(url, [file], {**body, **facts, "components": {}, "heldout": {}, "ledger": {}, "side": side})


def test_a_version_is_found_by_id_prefix_and_name(tmp_path, version):
    for reference in (version.id, version.id[:8], "filtered"):
        assert find_version(str(tmp_path), reference).id == version.id
    with pytest.raises(StoreError, match=r"'random' is neither .* the store holds: filtered"):
        find_version(str(tmp_path), "random")
    assert [v.id for v in list_versions(str(tmp_path))] == [version.id]


def test_verification_finds_a_flipped_byte_a_lost_file_and_a_changed_manifest(version):
    assert verify_version(version) == []
    path = f"{version.url}/train/web/part-00000-of-00001.tfrecord"
    write_bytes(path, b"shbrd")
    (bad,) = verify_version(version)
    assert bad.path == "train/web/part-00000-of-00001.tfrecord"
    assert "sha256" in bad.reason
    write_bytes(path, b"shard")
    changed = json.loads(json.dumps(version.manifest).replace('"seed": 1', '"seed": 2'))
    assert [b.path for b in verify_version(type(version)(version.url, changed))] == ["manifest.json"]


def test_a_damaged_manifest_hides_no_other_version(tmp_path, version):
    damaged = tmp_path / "versions" / "abcd1234"
    damaged.mkdir(parents=True)
    (damaged / "manifest.json").write_text("{")
    seen = []
    assert [v.id for v in list_versions(str(tmp_path), lambda _, error: seen.append(str(error)))] == [version.id]
    (message,) = seen
    assert "abcd1234" in message
    assert find_version(str(tmp_path), version.name).id == version.id
    with pytest.raises(StoreError, match="abcd1234"):
        find_version(str(tmp_path), "abcd1234")
