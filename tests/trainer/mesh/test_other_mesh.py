"""A run goes on on other meshes than it began on, with the same batches and the same losses but for rounding."""

from __future__ import annotations

import pytest

from pipelines.store.errors import TERMINATED
from tests.trainer.mesh.runs import ROUNDING, SAME, STEPS, end, read, records, start, store_of
from tests.trainer.mesh.trainings import row_hashes
from trainer.data import TrainingData
from trainer.run_folder import read_run


def test_from_eight_devices_to_four_to_one(version, alone, tmp_path):
    run_dir, batches = tmp_path / "run", {}
    for mesh, devices, stop in (((4, 2), 8, 8), ((2, 2), 4, 16)):
        code, said = end(start(store_of(version), run_dir, mesh, devices, stop=stop))
        assert code == TERMINATED, said
        assert f"stopped by SIGTERM after {stop} of {STEPS} updates" in said
        assert not read_run(str(run_dir))["finished"]
        batches |= read(said)["rows"]
    code, said = end(start(store_of(version), run_dir, (1, 1), 1))
    assert code == 0, said
    batches |= read(said)["rows"]
    data = TrainingData(version, rows=4, seed=0)
    expected = {str(step): row_hashes(data.batch(step)) for step in range(STEPS)}
    assert {step: list(batches[step].values()) for step in expected} == expected
    found = records(run_dir)
    assert [[record[key] for key in SAME] for record in found] == [[record[key] for key in SAME] for record in alone]
    for ours, theirs in zip(found, alone, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=ROUNDING), ours["step"]
        assert ours["auxiliary"] == pytest.approx(theirs["auxiliary"], rel=10 * ROUNDING), ours["step"]
