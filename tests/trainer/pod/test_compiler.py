"""The trainer's own step, compiled for TPUs on a machine that has none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from glam.main import app
from pipelines.store.configuration import ConfigError
from pipelines.store.errors import GlamError
from trainer.accounting import cost
from trainer.config import load_training_config
from trainer.family import FAMILY
from trainer.pod.compiler import compile_step
from trainer.pod.layout import default_mesh, pod_config
from trainer.pod.topology import parse_topology

ROOT = Path(__file__).parents[3]
LENGTH, VOCABULARY = 128, 512
SMALL = ["model.layers=4", "model.group_size=128", "model.heads=4", "training.batch_rows=16"]


@pytest.fixture(scope="module")
def compiled():
    """A small mixture model on four chips, 2 × 2."""
    pytest.importorskip("libtpu", reason="libtpu is not installed; pip install 'glam[tpu]'")
    topology = parse_topology("v4:2x2x1")
    config = pod_config("tiny/4E", topology, SMALL, mesh=(2, 2))
    return config, compile_step(config, VOCABULARY, LENGTH, topology)


def test_a_chip_holds_a_quarter_of_the_weights_and_what_a_step_needs_fits(compiled):
    config, found = compiled
    memory = found["memory"]
    whole = 4 * cost(config.model, VOCABULARY, LENGTH).parameters
    assert 1 / 4 <= memory["parameters"] / whole < 1 / 4 + 0.01, "norms alone are whole on every chip"
    assert memory["total"] == sum(size for part, size in memory.items() if part not in ("total", "chip"))
    assert 0 < memory["temporaries"] < memory["total"] < memory["chip"] == 32 << 30
    assert memory["outputs"] < memory["parameters"] / 2, "the new state takes the old one's place"


def test_what_is_sent_grows_with_the_layers_that_the_program_loops_over(compiled):
    _, found = compiled
    sent = found["collectives"]
    assert {"all-reduce", "all-gather"} <= set(sent)
    assert any("all-to-all" in kind for kind in sent), "tokens go to their experts and back"
    pairs = 2
    assert sent["all-to-all"]["times"] >= 4 * pairs, "there and back, forward and backward, in each pair of layers"


def test_flops_are_in_closed_form_and_the_floor_is_theirs_at_peak(compiled):
    config, found = compiled
    assert found["tokens"] == 16 * LENGTH
    assert found["flops"] == found["tokens"] * cost(config.model, VOCABULARY, LENGTH).training_flops
    assert found["floor_seconds"] == found["flops"] / (4 * 275e12)
    assert found["compile_seconds"] > 0
    assert found["resident_bytes"] > 100 << 20


def test_without_libtpu_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr("trainer.pod.compiler.find_spec", lambda _: None)
    topology = parse_topology("v4:2x2x1")
    with pytest.raises(GlamError, match=r"needs libtpu, which is not installed; pip install 'glam\[tpu\]'"):
        compile_step(pod_config("tiny/4E", topology), VOCABULARY, LENGTH, topology)


def test_a_mesh_that_is_not_the_slice_is_refused(monkeypatch):
    monkeypatch.setattr("trainer.pod.compiler.find_spec", lambda name: name)
    topology = parse_topology("v4:2x2x1")
    with pytest.raises(GlamError, match=r"data = 2 × model = 4 is not the 4 chips of v4:2x2x1"):
        compile_step(pod_config("tiny/4E", topology, mesh=(2, 4)), VOCABULARY, LENGTH, topology)


@pytest.mark.parametrize("name", ["v4", "v4:8x8", "v3:2x2x2", "v5e:4x4x4", "v4:0x2x2", "8x8x16"])
def test_a_slice_that_is_none_is_refused_with_examples(name):
    with pytest.raises(ConfigError, match=r"write GENERATION:SHAPE, e\.g\. v4:8x8x16"):
        parse_topology(name)


def test_the_paper_s_models_have_their_layout():
    pod = parse_topology("v4:8x8x16")
    config = pod_config("64B/64E", pod)
    assert pod.chips == 1024
    assert (config.mesh.data, config.mesh.model) == (64, 16)
    assert config.training.batch_rows * 1024 == 1_048_576
    assert config.training.steps * 1_048_576 == pytest.approx(600e9, rel=1e-5)
    assert (config.optimizer.learning_rate, config.optimizer.schedule) == (0.01, "inverse_square_root")
    assert (config.model.dispatcher, config.model.remat) == ("einsum", "pair")
    assert default_mesh(0, 256) == (64, 4)
    assert pod_config("64B/64E", pod, ["model.remat=dots"], (32, 32)).mesh.data == 32


def test_the_command_refuses_what_it_cannot_compile():
    for arguments, said in (
        ([], "give a training configuration or --model SIZE"),
        (["--model", "64B"], "--model 64B: no such size"),
        (["--model", "64B/64E", "--mesh", "64"], "write DATAxMODEL"),
        (["--model", "64B/64E", "--mesh", "3x5"], "is not the 1024 chips"),
        (["--model", "64B/64E", "--vocabulary", "9"], "--vocabulary is for a configuration"),
        (["configs/training/demo.toml", "--tokens", "9"], "--tokens is for a --model"),
    ):
        found = CliRunner().invoke(app, ["compile", *arguments])
        assert said in str(found.exception), arguments


def test_what_the_compiling_process_refuses_is_told_without_its_trace():
    configuration = str(ROOT / "configs" / "training" / "demo.toml")
    found = CliRunner().invoke(app, ["compile", configuration, "--topology", "v4:2x2x1", "--mesh", "2x2"])
    assert str(found.exception).startswith("compiling for v4:2x2x1 failed: model.dispatcher: `gather` moves rows")
    assert "Traceback" not in str(found.exception)


def test_the_command_prints_table_and_json_and_holds_to_the_limit(monkeypatch):
    memory = {"parameters": 3 << 30, "total": 25 << 30, "chip": 32 << 30}
    step = {
        "topology": "v4:8x8x16", "chips": 1024, "mesh": {"data": 64, "model": 16}, "tokens": 1 << 20, "memory": memory,
        "collectives": {"all-gather": {"times": 7, "bytes": 3 << 29}}, "flops": 6.3e17, "floor_seconds": 2.2,
        "compile_seconds": 285.0, "resident_bytes": 5 << 30,
    }  # fmt: skip
    monkeypatch.setattr("trainer.pod.compiler.compile_step", lambda *_: step)
    shown = CliRunner().invoke(app, ["compile", "--model", "64B/64E"]).stdout
    for part in ("1,024 chips, mesh data 64 × model 16, 1,048,576 tokens a step", "25.000", "all-gather", "1.500"):
        assert part in shown
    found = CliRunner().invoke(app, ["compile", "--model", "64B/64E", "--json", "--limit", "24"])
    assert json.loads(found.stdout)["memory"] == memory
    assert "a chip needs 25.00 GiB, more than --limit 24" in str(found.exception)


def test_the_training_of_the_data_quality_study_is_the_paper_s_size_on_its_slice():
    config = load_training_config(str(ROOT / "configs" / "training" / "glam_1p7b_64e.toml"))
    same = pod_config("1.7B/64E", parse_topology("v4:4x4x8"))
    assert config.resolved(1024, "tpu").model == same.model
    assert (config.mesh, config.training.batch_rows) == (same.mesh, same.training.batch_rows)
    assert cost(config.model, FAMILY["1.7B/64E"].vocabulary, 1024).parameters == pytest.approx(27e9, rel=0.01)
