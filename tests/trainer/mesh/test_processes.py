"""Two processes train one run as one does; where one ends, the other says so, and both go on later."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipelines.store.configuration import ConfigError
from pipelines.store.errors import TERMINATED
from tests.trainer.mesh.fake_devices import ROOT, environment
from tests.trainer.mesh.runs import (
    ROUNDING,
    SAME,
    STEPS,
    end,
    free_port,
    read,
    records,
    start_pair,
    store_of,
    wait_for_lines,
)
from tests.trainer.mesh.trainings import row_hashes
from trainer.checkpoints import Checkpoints, newest_step
from trainer.config import TrainingConfig
from trainer.data import TrainingData
from trainer.processes import join_processes
from trainer.run_folder import read_run
from trainer.step import abstract_arguments

WEIGHTS_ROUNDING = 1e-2
"""Relative to the norm of an array: what another order of float32 sums leaves in weights and moments."""


@pytest.fixture(scope="module")
def pair(version, tmp_path_factory):
    """A run of two processes, after a preflight: SIGTERM stops it, the loss of either too, then it goes to its end."""
    folder = tmp_path_factory.mktemp("pair")
    run_dir, store, told = folder / "run", store_of(version), {}
    first, second = start_pair(store, run_dir, "--preflight")
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
    told["ended"] = [end(process) for process in start_pair(store, run_dir, "--preflight")]
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
    assert code == 1, said
    assert "error: process 1 of 2: " in said
    assert "another process of the run has ended or cannot be reached" in said
    assert "start all of them again with the same command" in said


def test_both_go_on_and_the_run_is_that_of_one_process(pair, alone):
    run_dir, told = pair
    assert [code for code, _ in told["ended"]] == [0, 0], told["ended"]
    assert read_run(str(run_dir))["finished"]
    found = records(run_dir)
    assert [[record[key] for key in SAME] for record in found] == [[record[key] for key in SAME] for record in alone]
    losses = [[record["loss"] for record in run] for run in (found, alone)]
    assert losses[0] == pytest.approx(losses[1], rel=ROUNDING)


@pytest.mark.parametrize("start", ["terminated", "ended"])
def test_both_together_read_the_batches_of_one_process_and_each_its_part_alone(pair, version, start):
    own = [read(said)["rows"] for _, said in pair[1][start]]
    data = TrainingData(version, rows=4, seed=0)
    assert own[0].keys() == own[1].keys()
    for batch, rows in own[0].items():
        assert list(rows) == ["0", "1"]
        assert list(own[1][batch]) == ["2", "3"]
        assert [*rows.values(), *own[1][batch].values()] == row_hashes(data.batch(int(batch))), batch
    first = 0 if start == "terminated" else pair[1]["resumed"]
    last = STEPS if start == "ended" else pair[1]["terminated lines"]
    assert set(map(str, range(first, last))) <= own[0].keys()


def test_a_process_reads_no_record_but_those_of_its_rows(pair):
    for _, said in pair[1]["ended"]:
        told = read(said)
        assert told["records"] == sum(map(len, told["rows"].values()))


def test_a_preflight_of_two_processes_is_trained_once_and_found_again(pair):
    run_dir, told = pair
    passed = "preflight passed: tiny/4E, 12 updates, loss "
    for start in ("terminated", "ended"):
        (_, first), (_, second) = told[start]
        assert passed in first
        assert passed not in second, "the first alone says and writes anything"
    answer = json.loads((run_dir / "preflight.json").read_text())
    assert answer["problems"] == []
    small = run_dir / answer["run"]
    assert [folder.name for folder in (run_dir / "preflight").iterdir()] == [small.name]
    assert len(records(small)) == 12
    for _, said in told["ended"]:
        assert min(map(int, read(said)["rows"])) == told["resumed"], "nothing was read for a preflight again"


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


JOIN = """
import sys, time
from trainer import processes
processes.JOINING_SECONDS = int(sys.argv[3])
processes.join_processes(f"localhost:{sys.argv[1]}", 2, int(sys.argv[2]))
print("joined", flush=True)
time.sleep(600)
"""


def join(port: int, number: int, seconds: int) -> subprocess.Popen:
    """Start a process that joins another one, and then waits."""
    command = [sys.executable, "-c", JOIN, str(port), str(number), str(seconds)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=ROOT, env=environment(1), text=True, **pipes)


def test_a_process_whose_others_do_not_come_says_so():
    port = free_port()
    code, said = end(join(port, 1, 2))
    assert code == 1, said
    reason = f"error: --coordinator localhost:{port}: the processes did not come together within 2 s"
    assert said.splitlines()[-1].startswith(reason)


def test_a_process_that_jax_aborts_says_what_to_do():
    port = free_port()
    first, second = (join(port, number, 400) for number in range(2))
    assert first.stdout.readline() == second.stdout.readline() == "joined\n"
    first.kill()
    code, said = end(second)
    end(first)
    assert code == 1, said
    last = said.splitlines()[-1]
    assert last.startswith(
        "error: process 1 of 2: JAX ended it, and its lines above say why; as a rule another process"
    )
    assert last.endswith("start all of them again with the same command, and the run goes on from its last checkpoint")


def test_a_coordinator_without_count_or_number_is_refused():
    with pytest.raises(ConfigError, match=r"needs --processes, how many there are \(given: None\), and --process"):
        join_processes("localhost:1", None, 0)
    with pytest.raises(ConfigError, match=r"the number of this one from 0 \(given: 2\)"):
        join_processes("localhost:1", 2, 2)
