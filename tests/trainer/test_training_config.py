from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.store.configuration import ConfigError
from trainer.config import ModelSettings, OptimizerSettings, TrainingSettings, load_training_config
from trainer.family import FAMILY

DEMO = Path(__file__).parents[2] / "configs" / "training" / "demo.toml"


def test_the_demo_configuration_loads_with_overrides():
    config = load_training_config(str(DEMO), ["model.experts=8", "training.seed=3", "version=all"])
    assert (config.model.experts, config.training.seed, config.version) == (8, 3, "all")


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("model.layers=3", ["demo.toml", "model.layers", "multiple of 2", "3"]),
        ("model.expert=3", ["demo.toml", "model.expert", "no such key"]),
        ("training.steps=many", ["demo.toml", "training.steps", "integer", "many"]),
        ("model.experts=1", ["demo.toml", "model", "at least 2 experts", "0 for a dense model"]),
        ("model.relative_max_distance=16", ["relative_max_distance", "16", "must exceed"]),
        ("optimizer.learning_rate=inf", ["optimizer.learning_rate", "finite"]),
        ("training.batch_rows=8", ["training", "batch_tokens = 1024 and batch_rows = 8 are both given"]),
    ],
)
def test_a_wrong_value_is_refused_by_file_key_value_and_constraint(override, parts):
    with pytest.raises(ConfigError) as caught:
        load_training_config(str(DEMO), [override])
    for part in parts:
        assert part in str(caught.value)


def test_the_defaults_are_those_of_the_ledger():
    """docs/deviations.md: what is not switched on or off."""
    model, optimizer = ModelSettings(), OptimizerSettings()
    assert (model.experts > 0, model.choices, model.second_expert, model.capacity_factor) == (True, 2, "all", 2.5)
    assert (model.feed_forward, model.expert_activation, model.twin) == ("gated", "relu", "flops")
    assert (model.relative_buckets, model.relative_max_distance, model.attention_extra_logit) == (32, 128, True)
    assert (model.attend_across_documents, model.padding) == (False, "left_out")
    assert (model.auxiliary_loss_weight, model.router_z_loss_weight, model.output_z_loss_weight) == (0.01, 0.0, 1e-4)
    assert (model.activation_dtype, model.remat) == ("auto", "none")
    assert (optimizer.decay_exponent, optimizer.clipping_threshold, optimizer.min_factored_dim) == (0.8, 1.0, 128)
    assert (optimizer.gradient_epsilon, optimizer.parameter_epsilon) == (1e-30, 1e-3)
    assert (optimizer.schedule, optimizer.constant_steps) == ("linear", 10_000)
    assert {FAMILY[name].settings["capacity_factor"] for name in FAMILY if FAMILY[name].source == "GLaM"} == {2.0}


def test_changes_are_validated_and_name_their_place():
    config = load_training_config(str(DEMO))
    assert config.changed({"model": {"experts": 0}}, "arm dense").model.experts == 0
    with pytest.raises(ConfigError, match=r"arm dense: model\.heads"):
        config.changed({"model": {"heads": 0}}, "arm dense")


def test_a_batch_is_given_in_tokens_or_rows():
    config = load_training_config(str(DEMO))
    assert (config.training.batch_tokens, config.training.batch_rows) == (1024, 0)
    assert config.resolved(128, "cpu").training.batch_rows == 8
    assert config.changed({"training": {"batch_rows": 3}}, "test").resolved(128, "cpu").training.batch_rows == 3
    with pytest.raises(ConfigError, match=r"1024 is no multiple of the 100 tokens .* choose 1000 or 1100"):
        config.resolved(100, "cpu")
    assert TrainingSettings().batch_rows == 8


@pytest.mark.parametrize(
    ("backend", "dtype", "loop"),
    [("cpu", "float32", "unroll"), ("gpu", "bfloat16", "scan"), ("tpu", "bfloat16", "scan")],
)
def test_activations_are_bfloat16_on_accelerators_unless_the_configuration_says(backend, dtype, loop):
    decided = ModelSettings().on(backend)
    assert (decided.activation_dtype, decided.layer_loop) == (dtype, loop)
    assert ModelSettings(activation_dtype="float32").on(backend).activation_dtype == "float32"


def test_settings_cost_and_run_folder_import_no_jax():
    program = (
        "import sys, trainer.config, trainer.accounting, trainer.run_folder, trainer.batch; print('jax' in sys.modules)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=DEMO.parents[2]
    )
    assert shown.stdout.strip() == "False"
