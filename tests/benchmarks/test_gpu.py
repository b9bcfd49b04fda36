"""The accelerator's benchmark measures both dispatchers, here at a tiny size on the CPU."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


def test_it_measures_both_dispatchers_of_a_mixture_and_prints_json():
    small = ["--rows", "2", "--length", "64", "--steps", "1", "--dtype", "float32"]
    command = [sys.executable, str(SCRIPT), "--sizes", "tiny/4E", *small]
    quick_to_compile = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    environment = os.environ | quick_to_compile
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    records = json.loads(said)["measured"]
    assert [record["dispatcher"] for record in records] == ["gather", "einsum"]
    for record in records:
        assert record["fits"]
        assert record["parameters"] > record["active"] > 0
        assert record["mfu"] * record["peak_flops_a_second"] > 0
        assert record["layers"] == 4


def test_what_does_not_fit_loses_rows_first_and_then_layers(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    case = runpy.run_path(str(SCRIPT))["Case"]("1.7B/32E", "gather", 32, 1024, 10, "bfloat16")
    tried = []
    while case is not None:
        tried.append((case.rows, case.model().layers))
        case = case.smaller()
    assert tried == [(32, 24), (16, 24), (8, 24), (8, 12), (8, 6), (8, 2)]
