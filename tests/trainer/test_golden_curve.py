"""The small mixture of experts learns the demo corpus as it always did (on a made corpus: test_built_version.py)."""

from __future__ import annotations

import json

import pytest

from pipelines.sources.errors import SourceError
from tests.trainer.golden_curve import BAND, RECORDED, demo_corpus, train_on_demo


def test_the_small_mixture_of_the_demo_follows_the_recorded_curve(tmp_path):
    try:
        version = demo_corpus(str(tmp_path / "store"))
    except SourceError as error:
        pytest.skip(str(error))
    recorded = json.loads(RECORDED.read_text())["demo"]
    found = train_on_demo(version, str(tmp_path / "run"))
    for name, band in BAND.items():
        assert found[name] == pytest.approx(recorded[name], abs=band), f"{name}; see tests/trainer/golden_curve.py"
    assert found["loss"][-1] < found["loss"][0] - 1.5
