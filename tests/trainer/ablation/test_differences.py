"""Arms differ in what is under test and in nothing else, or the study is refused."""

import json
from pathlib import Path

import pytest

from pipelines.store.files import write_bytes
from pipelines.store.stages import StoredFile, merkle_root
from pipelines.store.versions import publish_version, version_id
from tests.trainer.ablation.small_study import changed, write_study
from trainer.ablation.differences import ArmsDifferError, check_configurations, differing_parts, prove
from trainer.ablation.planning import plan
from trainer.ablation.study import load_study

PARTS = {
    "train/web/part-0": b"web",
    "train/books/part-0": b"books",
    "heldout/types/part-0": b"held out",
    "tokenizer/tokenizer.model": b"tokenizer",
}


@pytest.fixture
def path(tmp_path):
    return write_study(tmp_path)


def version(folder: Path, name, parts, weight=0.6):
    """A version whose files have these contents."""
    files = [StoredFile.of(path, write_bytes(str(folder / name / path), content)) for path, content in parts.items()]
    recipe = {"name": name}
    body = {
        "name": name,
        "id": version_id(recipe, merkle_root([file.to_json() for file in sorted(files, key=lambda f: f.path)])),
        "recipe": recipe,
        "sequence_length": 8,
        "vocabulary_size": 400,
        "token_dtype": "uint16",
        "tokenizer": "tokenizer/tokenizer.model",
        "components": {
            component: {
                "weight": share,
                "variant": "all",
                "records": 1,
                "tokens": 8,
                "documents": 1,
                "tokens_cut": 0,
                "shards": [f"train/{component}/part-0"],
            }
            for component, share in (("web", weight), ("books", 1 - weight))
        },
        "heldout": {},
        "ledger": {},
        "stages": [],
        "side": {"created": "", "names": {}},
    }
    return publish_version(str(folder / name), files, body)


def test_versions_of_equal_bytes_differ_in_nothing(tmp_path):
    assert differing_parts(version(tmp_path, "a", PARTS), version(tmp_path, "b", PARTS)) == []


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("train/web/part-0", "web"),
        ("heldout/types/part-0", "held-out text"),
        ("tokenizer/tokenizer.model", "tokenizer"),
    ],
)
def test_a_changed_file_names_its_part(tmp_path, file, part):
    a = version(tmp_path, "a", PARTS)
    assert differing_parts(a, version(tmp_path, "b", PARTS | {file: b"other"})) == [part]


def test_other_weights_are_a_difference(tmp_path):
    a, b = version(tmp_path, "a", PARTS), version(tmp_path, "b", PARTS, weight=0.5)
    assert differing_parts(a, b) == ["weights"]


def test_a_proof_has_the_keys_and_parts_with_both_sides(path, tmp_path):
    loaded = load_study(changed(path, 'claim = "Wider layers help"', 'claim = "?"\ndiffer = ["model", "web"]'))
    a, b = version(tmp_path, "a", PARTS), version(tmp_path, "b", PARTS | {"train/web/part-0": b"other"})
    proof = prove(loaded, loaded.study.comparisons[0], a, b)
    assert proof["training"] == [{"key": "model.hidden_dim", "a": 64, "b": 16}]
    (web,) = proof["data"]
    assert web == {"part": "web", "a": web["b"], "b": {"variant": "all", "documents": 1, "tokens": 8}}


def test_data_that_differ_beyond_what_is_under_test_are_refused(path, tmp_path):
    loaded = load_study(str(path))
    a, b = version(tmp_path, "a", PARTS), version(tmp_path, "b", PARTS | {"tokenizer/tokenizer.model": b"other"})
    with pytest.raises(ArmsDifferError, match=r"wide and narrow differ in tokenizer too.*that is model.hidden_dim\)"):
        prove(loaded, loaded.study.comparisons[0], a, b)


def test_a_setting_beside_the_one_under_test_is_refused_before_any_work(path):
    both = "model = { hidden_dim = 64 }\noptimizer = { learning_rate = 0.2 }"
    text = changed(path, "model = { hidden_dim = 64 }", both)
    check_configurations(load_study(text))  # the arms say both, and nothing says that one is under test
    loaded = load_study(changed(path, 'claim = "Wider layers help"', 'claim = "?"\ndiffer = ["model"]'))
    with pytest.raises(ArmsDifferError, match=r"differ in optimizer.learning_rate too"):
        plan(loaded)


def test_arms_of_other_corpora_must_say_in_which_part_they_differ(path, tmp_path):
    own = 'version = "all"\ncorpus = { select = { min_characters = 500 } }\nmodel'
    loaded = load_study(changed(path, 'version = "all"\nmodel', own))
    assert loaded.trainings["wide"].version == "wide"
    assert loaded.corpora["wide"].versions == {"wide": {}}
    assert loaded.corpora["narrow"].versions == {"all": {}}
    a, b = version(tmp_path, "a", PARTS), version(tmp_path, "b", PARTS | {"train/web/part-0": b"other"})
    with pytest.raises(ArmsDifferError, match="differ in web too"):
        prove(loaded, loaded.study.comparisons[0], a, b)


def test_the_proof_is_plain_json(path, tmp_path):
    loaded = load_study(str(path))
    a = version(tmp_path, "a", PARTS)
    proof = prove(loaded, loaded.study.comparisons[0], a, a)
    assert json.loads(json.dumps(proof)) == proof
    assert proof["data"] == []
