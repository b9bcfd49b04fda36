"""On a machine without the device file of an accelerator JAX is told so before it begins, and looks for none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainer import accelerators
from trainer.accelerators import has_accelerator, with_platforms


@pytest.mark.parametrize(
    ("given", "accelerator", "expected"),
    [
        ({}, False, "cpu"),
        ({}, True, None),
        ({"JAX_PLATFORMS": "tpu"}, False, "tpu"),
        ({"JAX_PLATFORMS": ""}, False, ""),
    ],
)
def test_what_the_variable_says_already_stays(given, accelerator, expected):
    assert with_platforms({"HOME": "/nowhere"} | given, accelerator).get("JAX_PLATFORMS") == expected


@pytest.mark.skipif(sys.platform != "linux", reason="device files are those of Linux")
def test_a_device_file_means_an_accelerator(tmp_path, monkeypatch):
    monkeypatch.setattr(accelerators, "DEVICES", tmp_path)
    assert not has_accelerator()
    (tmp_path / "accel0").touch()
    assert has_accelerator()


@pytest.mark.skipif(has_accelerator(), reason="this machine has an accelerator")
def test_the_command_says_it_before_jax_begins():
    program = (
        "import os, sys; sys.argv = ['glam', '--version']; from glam.__main__ import start\n"
        "try: start()\nexcept SystemExit: print(os.environ['JAX_PLATFORMS'], 'jax' in sys.modules)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "JAX_PLATFORMS"}
    command, root = [sys.executable, "-c", program], Path(__file__).parents[2]
    said = subprocess.run(command, env=environment, cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert said.splitlines()[-1] == "cpu False"
