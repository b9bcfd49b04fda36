"""The search of learning rates: what is tried, and what its finished runs choose."""

import pytest

from pipelines.store.files import write_json
from tests.trainer.ablation.small_study import write_study
from trainer.ablation.search import in_words, outcome, tried
from trainer.ablation.study import load_study
from trainer.ablation.study_parts import Search

TOOK = {"seconds": 2.0, "cpu_seconds": 1.5, "flops": 100, "tokens": 10}


def finished(folder, losses):
    """Jobs of finished runs that ended at these losses, by learning rate."""
    jobs = []
    for rate, loss in losses.items():
        run_dir = str(folder / str(rate))
        run = {"format": 1, "kind": "run", "finished": True, "result": {"loss": loss, **TOOK}}
        write_json(f"{run_dir}/run.json", run)
        jobs.append({"run_dir": run_dir, "config": {"optimizer": {"learning_rate": rate}}})
    return jobs


def test_every_rate_is_tried_once_and_nothing_else_changes(tmp_path):
    config = load_study(str(write_study(tmp_path))).trainings["wide"]
    found = tried(Search(learning_rates=[0.2, 0.1, 0.2], steps=5), config)
    assert list(found) == [0.1, 0.2]
    for rate, trial in found.items():
        assert trial == config.changed({"optimizer": {"learning_rate": rate}, "training": {"steps": 5}}, "")


def test_without_steps_a_trial_is_as_long_as_a_run(tmp_path):
    config = load_study(str(write_study(tmp_path))).trainings["wide"]
    (first, _) = tried(Search(learning_rates=[0.1, 0.2]), config).values()
    assert first.training == config.training


def test_the_lowest_loss_is_taken(tmp_path):
    found = outcome(finished(tmp_path, {0.2: 4.5, 0.05: 4.4, 0.1: 4.1}))
    assert found["losses"] == [[0.05, 4.4], [0.1, 4.1], [0.2, 4.5]]
    assert (found["chosen"], found["at_end"]) == (0.1, False)
    assert found["took"] == {"runs": 3, "seconds": 6.0, "cpu_seconds": 4.5, "flops": 300, "tokens": 30, "joules": None}
    assert in_words("moe", found) == "arm moe: learning rate 0.1, of 0.05 (4.4000), 0.1 (4.1000), 0.2 (4.5000)"


@pytest.mark.parametrize("losses", [{0.05: 4.0, 0.1: 4.1}, {0.05: 4.2, 0.1: 4.1}])
def test_a_rate_at_the_end_of_those_tried_is_told_as_that(tmp_path, losses):
    assert "the best may lie beyond" in in_words("moe", outcome(finished(tmp_path, losses)))


def test_a_rate_that_ends_without_a_finite_loss_is_not_taken(tmp_path):
    found = outcome(finished(tmp_path, {0.1: 4.1, 0.4: None}))
    assert found["chosen"] == 0.1
    assert "0.4 (-)" in in_words("moe", found)
