"""Two processes train one run as one does; where one ends, the other says so, and both go on later."""

from __future__ import annotations

import re
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipelines.store.configuration import ConfigError
from pipelines.store.errors import TERMINATED
from tests.trainer.mesh.runs import ROUNDING, SAME, STEPS, end, records, start_pair, store_of, wait_for_lines
from trainer.checkpoints import Checkpoints, newest_step
from trainer.config import TrainingConfig
from trainer.processes import join_processes
from trainer.run_folder import read_run
from trainer.step import abstract_arguments

WEIGHTS_ROUNDING = 1e-2
"""Relative to the norm of an array: what another order of float32 sums leaves in weights and moments."""


@pytest.fixture(scope="module")
def pair(version, tmp_path_factory):
    """A run of two processes that SIGTERM stops, the loss of either stops, and that then goes to its end."""
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
    lines = len(records(run_dir))
    first, second = start_pair(store, run_dir)
    wait_for_lines(run_dir, lines + 2, [first, second])
    first.kill()
    told["first lost"] = [end(first), end(second)]
    told["resumed"] = newest_step(str(run_dir))
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


def test_when_the_process_that_joins_them_is_killed_the_other_ends_too(pair):
    (killed, _), (code, said) = pair[1]["first lost"]
    assert killed == -signal.SIGKILL
    if code != -signal.SIGABRT:  # JAX itself ends a process whose coordinator is gone, where it notices first
        assert code == 1, said
        assert "error: process 1 of 2: another process of the run has ended or cannot be reached" in said


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
    steps = STEPS - pair[1]["resumed"]
    assert all(0 < read <= rows * (steps + ahead) for read in reads), reads


def test_the_checkpoint_read_by_one_process_is_that_of_one_process(pair, run_alone, version):
    config = TrainingConfig.model_validate(read_run(str(run_alone))["config"])
    like = jax.tree.map(
        lambda array: jnp.zeros(array.shape, array.dtype),
        abstract_arguments(config, version.vocabulary_size, version.sequence_length)[0],
    )
    states = []
    for run_dir in (pair[0], run_alone):
        with Checkpoints(str(run_dir / "checkpoints")) as checkpoints:
            state, progress = checkpoints.restore(like)
        assert progress.step == STEPS
        states.append(jax.tree.map(np.asarray, state))
    for (path, ours), theirs in zip(
        jax.tree_util.tree_leaves_with_path(states[0]), jax.tree.leaves(states[1]), strict=True
    ):
        difference = np.linalg.norm(ours - theirs) / max(np.linalg.norm(theirs), 1e-30)
        assert difference < WEIGHTS_ROUNDING, (jax.tree_util.keystr(path), difference)


def test_a_coordinator_without_count_or_number_is_refused():
    with pytest.raises(ConfigError, match=r"needs --processes, how many there are \(given: None\), and --process"):
        join_processes("localhost:1", None, 0)
    with pytest.raises(ConfigError, match=r"the number of this one from 0 \(given: 2\)"):
        join_processes("localhost:1", 2, 2)
