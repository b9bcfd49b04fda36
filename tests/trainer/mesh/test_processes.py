"""Two processes train one run as one does; where one ends, the other says so, and both go on later."""

from __future__ import annotations

import re
import signal

import numpy as np
import pytest

from pipelines.store.configuration import ConfigError
from pipelines.store.errors import TERMINATED
from tests.trainer.mesh.runs import ROUNDING, SAME, STEPS, end, records, start_pair, store_of, wait_for_lines
from trainer.checkpoints import Checkpoints
from trainer.config import TrainingConfig
from trainer.model.parameters import named_arrays
from trainer.processes import join_processes
from trainer.run_folder import read_run
from trainer.step import abstract_arguments


@pytest.fixture(scope="module")
def pair(version, tmp_path_factory):
    """A run of two processes that SIGTERM stops, a lost process stops, and that then goes to its end."""
    folder = tmp_path_factory.mktemp("pair")
    run_dir, store, told = folder / "run", store_of(version), {}
    first, second = start_pair(store, run_dir)
    wait_for_lines(run_dir, 3, [first, second])
    second.send_signal(signal.SIGTERM)
    told["terminated"] = [end(first), end(second)]
    told["terminated lines"] = len(records(run_dir))
    first, second = start_pair(store, run_dir)
    wait_for_lines(run_dir, told["terminated lines"] + 3, [first, second])
    second.kill()
    told["lost"] = [end(first), end(second)]
    told["ended"] = [end(process) for process in start_pair(store, run_dir)]
    return run_dir, told


def test_sigterm_to_one_process_stops_both_after_the_same_update(pair):
    _, told = pair
    lines = told["terminated lines"]
    assert 3 <= lines < STEPS
    for code, said in told["terminated"]:
        assert code == TERMINATED, said
        assert f"stopped by SIGTERM after {lines} of {STEPS} updates, which a checkpoint keeps" in said


def test_when_one_process_is_killed_the_other_ends_with_the_reason(pair):
    (code, said), (killed, _) = pair[1]["lost"]
    assert killed == -signal.SIGKILL
    assert code == 1, said
    assert "error: process 0 of 2: another process of the run has ended or cannot be reached" in said
    assert "start all of them again with the same command" in said
    assert "Traceback" not in said


def test_both_go_on_and_the_run_is_that_of_one_process(pair, alone):
    run_dir, told = pair
    assert [code for code, _ in told["ended"]] == [0, 0], told["ended"]
    assert read_run(str(run_dir))["finished"]
    found = records(run_dir)
    assert [[record[key] for key in SAME] for record in found] == [[record[key] for key in SAME] for record in alone]
    losses = [[record["loss"] for record in run] for run in (found, alone)]
    assert losses[0] == pytest.approx(losses[1], rel=ROUNDING)


def test_each_process_reads_its_part_of_the_data_alone(pair):
    reads = [int(re.search(r"records read: (\d+)", said)[1]) for _, said in pair[1]["ended"]]
    rows, ahead = 2, 2  # half of 4 rows; batches read ahead of the last update
    steps = STEPS - pair[1]["terminated lines"]
    assert all(0 < read <= rows * (steps + ahead) for read in reads), reads


def test_the_checkpoint_is_read_by_one_process(pair, version):
    run_dir, _ = pair
    run = read_run(str(run_dir))
    config = TrainingConfig.model_validate(run["config"])
    state, *_ = abstract_arguments(config, version.vocabulary_size, version.sequence_length)
    with Checkpoints(str(run_dir / "checkpoints")) as checkpoints:
        arrays = checkpoints.restore_parameters(named_arrays(state.decoder))
    assert {name: array.shape for name, array in arrays.items()} == {
        name: array.shape for name, array in named_arrays(state.decoder).items()
    }
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_a_coordinator_without_count_or_number_is_refused():
    with pytest.raises(ConfigError, match=r"needs --processes, how many there are \(given: None\), and --process"):
        join_processes("localhost:1", None, 0)
    with pytest.raises(ConfigError, match=r"the number of this one from 0 \(given: 2\)"):
        join_processes("localhost:1", 2, 2)
