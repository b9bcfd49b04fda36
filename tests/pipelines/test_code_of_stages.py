"""A stage's identity follows the code of its own modules: with changed code exactly those stages run again that it can
reach, and the modules outside every identity decide no byte.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from building import bytes_of, run_build

from pipelines.build import STEPS
from pipelines.config import CorpusConfig, load_corpus_config
from pipelines.sources.registry import READERS
from pipelines.store import code_identity
from pipelines.store.code_identity import NEVER_IN_BYTES, PACKAGES
from pipelines.store.stages import Store
from tests.faults.corpus import FULL, PLAIN, write_corpus

ROOT = Path(__file__).resolve().parents[2]
ADDED = ("from __future__ import annotations\n", "from __future__ import annotations\n\n_added = 1\n")
"""A change of what a module says and of nothing that it does."""
TOKENIZER = {"tokenizer", "tokenize", "pack", "pack_heldout"}


def copy_tree(folder: Path, changes: dict[str, tuple[str, str]]) -> Path:
    """Copy the project's modules; in those of `changes` put other text in the place of one that is there once."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for module, (old, new) in changes.items():
        path = folder / f"{module.replace('.', '/')}.py"
        text = path.read_text()
        assert text.count(old) == 1, (module, old)
        path.write_text(text.replace(old, new))
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """(configuration, store, build) of a small corpus, by the code as it is."""
    folder = tmp_path_factory.mktemp("code")
    config = write_corpus(folder / "data", PLAIN)
    return config, folder / "store", run_build(config, folder / "store")


@pytest.fixture(scope="module")
def keys(small_config, small_build):
    """The keys of a build's stages, by name of the stage."""
    asked: dict[str, list] = {}
    found = Store.finished
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Store, "finished", lambda store, key: asked.setdefault(key.stage, []).append(key) or found(store, key)
        )
        assert all(stage.reused for stage in run_build(small_config, small_build[1]).stages)
    return asked


@pytest.fixture
def forget():
    """A function that lets identities be worked out anew; what a test worked out is forgotten at its end."""

    def clear():
        for name in ("code_identity", "_syntax_tree", "_imports", "_normalized_hash"):
            getattr(code_identity, name).cache_clear()

    yield clear
    clear()


CHANGED = {
    "what one stage does": (["pipelines.near_duplicates.minhash", "glam.explain"], {"deduplicate"}),
    "what several stages share, and one reader": (
        ["tokenizer.encode", "pipelines.sources.warc"],
        TOKENIZER | {"extract"},
    ),
    "what is in no identity": (sorted(NEVER_IN_BYTES), set()),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_change_of_a_module_changes_the_stages_that_import_it_and_no_other(name, keys, forget, tmp_path, monkeypatch):
    modules, expected = CHANGED[name]
    before = {stage: [code_identity.code_identity(*key.modules) for key in asked] for stage, asked in keys.items()}
    copy_tree(tmp_path, dict.fromkeys(modules, ADDED))
    forget()
    monkeypatch.setattr(code_identity, "ROOT", tmp_path)
    after = {stage: [code_identity.code_identity(*key.modules) for key in asked] for stage, asked in keys.items()}
    assert {stage for stage in keys if after[stage] != before[stage]} == expected
    assert set(keys) > {"extract", "deduplicate", "holdout", "classifier", "quality", "sample", "subset", "account"}


def build_with(tree: Path, config: Path, store: Path) -> dict:
    """Build with the code of another tree, in a process of its own; return what it prints, and what it found."""
    command = [sys.executable, "-m", "glam", "build", str(config), "--store", str(store), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def stages_of(store: Path) -> set[tuple[str, str]]:
    """Return name and fingerprint of every finished stage."""
    return {path.parts[-3:-1] for path in store.glob("stages/*/*/manifest.json")}


def test_a_changed_stage_runs_again_and_so_does_what_reads_other_bytes_than_before(plain, tmp_path):
    config, sound, made = plain
    changes = {
        "pipelines.deduplicate": ADDED,
        "pipelines.tokenize": ("row.astype(little, copy=False)", "row[::-1].astype(little)"),
    }
    tree = copy_tree(tmp_path / "tree", changes)
    store = Path(shutil.copytree(sound, tmp_path / "store"))
    answer = build_with(tree, config, store)
    again = {stage for stage, _ in stages_of(store) - stages_of(sound)}
    assert again == {"deduplicate", "account"} | TOKENIZER
    assert answer["stages"] == {"computed": len(stages_of(store) - stages_of(sound)), "reused": 3}  # extract, hold-out
    assert answer["versions"]["all"] != made.versions["all"].id
    assert answer["tokens"] == made.to_json()["tokens"]


def test_modules_outside_every_identity_decide_no_byte(plain, tmp_path):
    """Work is handed out, and results come back, in another order; progress, programs and errors say other words."""
    config, sound, made = plain
    changes = {
        "pipelines.engine": ("            for line in file:\n", "            for line in reversed(list(file)):\n"),
        "pipelines.progress": ('return f"{number:.3g} {unit}"', 'return "many"'),
        "pipelines.job": ('description=f"Run the job', 'description=f"Start the job'),
        "pipelines.config": ("return sorted(taken)", "return sorted(taken, reverse=True)"),
        "pipelines.store.configuration": ('"value = {text}"', '"value={text}"'),
    }
    assert changes.keys() == NEVER_IN_BYTES
    tree = copy_tree(tmp_path / "tree", changes)
    engine = tree / "pipelines" / "engine.py"
    text = engine.read_text()
    assert text.count("for line in sorted(keyed[1])") == 1
    engine.write_text(text.replace("for line in sorted(keyed[1])", "for line in sorted(keyed[1], reverse=True)"))
    answer = build_with(tree, config, tmp_path / "store")
    assert stages_of(tmp_path / "store") == stages_of(sound)
    (name, folder), *others = answer["paths"].items()
    assert not others
    manifest = json.loads(Path(folder, "manifest.json").read_text())
    files = {file["path"]: file["sha256"] for file in manifest["files"]}
    assert {name: (manifest["id"], files)} == bytes_of(made)
    for path in sound.glob("stages/*/*/manifest.json"):
        theirs = json.loads((tmp_path / "store" / path.relative_to(sound)).read_text())
        assert {k: v for k, v in theirs.items() if k != "side"} == {
            k: v for k, v in json.loads(path.read_text()).items() if k != "side"
        }


TAKEN = {
    "pipelines.config": {"CorpusConfig", "Extract", "HoldOut", "Quality", "Selector"},
    "pipelines.engine": {"Engine", "ReadOutputs", "read_results", "read_work_list", "write_results", "write_work_list"},
    "pipelines.progress": {"Display", "Watch"},
    "pipelines.store.configuration": {"Settings", "load_settings"},
    "pipelines.job": set(),
}
"""What the modules of stages may take from those outside every identity: types of settings, whose values are in the
recipe, and the hands that pass work lists and results on. A name that is new here must not touch a document.
"""


def test_stages_take_nothing_from_those_modules_but_settings_and_the_passing_on_of_work():
    modules = code_identity._closure((*(f"pipelines.{job}" for job in STEPS), "tokenizer.train_process"))
    taken: dict[str, set[str]] = {name: set() for name in NEVER_IN_BYTES}
    for module in modules:
        for node in ast.walk(code_identity._syntax_tree(module)):
            if isinstance(node, ast.ImportFrom) and node.module in NEVER_IN_BYTES:
                taken[node.module] |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Import):
                assert not NEVER_IN_BYTES & {alias.name for alias in node.names}, module
    assert taken == TAKEN


DECIDE_NO_BYTE = {
    "name", "data", "files", "folder", "sets_file", "model", "licence", "error_budget", "accept_cut_files",
    "expected_tokens", "warn_epochs", "max_epochs", "fields", "records", "demonstrations",
}  # fmt: skip
"""Keys that are in no version's recipe: names of files, whose content counts by its hash; what allows, warns and
describes; how evaluation sets are read, which is in the recipe of `evaluation_ngrams`.
"""


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every value of a dumped configuration."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    else:
        yield path


def other(value: Any) -> Any:
    """Return another value of its kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return "text" if value in READERS else f"{value}x"
    if isinstance(value, dict):
        return {"min_characters": 9}  # an option of every reader
    return ["x"] if not value else type(value)()


def changed(node: Any, path: tuple[str, ...]) -> Any:
    """Return a configuration, or a part of one, with another value at a path, unchecked."""
    key, *rest = path
    if isinstance(node, dict):
        return {**node, key: changed(node[key], tuple(rest)) if rest else other(node[key])}
    value = getattr(node, key)
    return node.model_copy(update={key: changed(value, tuple(rest)) if rest else other(value)})


def test_every_value_of_a_configuration_is_in_the_recipe_but_those_that_decide_no_byte(tmp_path):
    config = load_corpus_config(str(write_corpus(tmp_path / "data", FULL)), ["decontaminate.remove=spans"])

    def recipes(settings: CorpusConfig) -> dict[str, Any]:
        return {name: settings.version_recipe(name) for name in settings.versions}

    found = list(leaves(config.model_dump()))
    kept = {path for path in found if recipes(changed(config, path)) == recipes(config)}
    assert kept == {path for path in found if path[-1] in DECIDE_NO_BYTE}
    assert len(found) > 80
