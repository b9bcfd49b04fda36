"""Full-shot fine-tuning in a study: every run on every task, scored on what it was never trained on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.progress import SilentDisplay
from pipelines.store.configuration import ConfigError
from pipelines.store.errors import GlamError
from pipelines.store.stages import read_manifest
from pipelines.store.versions import Version
from tests.trainer.ablation.small_study import changed, write_study
from trainer.ablation.fine_tuning.jobs import fine_tuning_jobs, study_parts, work_on_task
from trainer.ablation.fine_tuning.parts import open_parts, part
from trainer.ablation.planning import plan
from trainer.ablation.run import plan_runs
from trainer.ablation.study import load_study
from trainer.ablation.summary import verdicts
from trainer.evaluation.evaluate import open_set
from trainer.evaluation.task import Catalogue
from trainer.run_folder import read_run


@pytest.fixture
def path(tmp_path):
    return write_study(tmp_path)


@pytest.fixture
def parts(path):
    return study_parts(load_study(str(path)))


def prompts(lines):
    return [json.loads(line)["prompt"] for line in lines.splitlines()]


def held_prompts(of_task):
    return [of_task.held.reader.question(example).contexts[0] for example in of_task.held.examples]


def test_every_example_is_in_one_part(parts):
    for of_task in parts.values():
        trained, held = prompts(of_task.lines), held_prompts(of_task)
        assert len(trained) == of_task.examples
        assert len({*trained, *held}) == len(trained) + len(held) == 60
        assert 20 < len(trained) < 50  # about six in ten


def test_the_answers_are_the_right_ones(parts):
    answers = [json.loads(line)["answer"] for line in parts["words"].lines.splitlines()]
    assert set(answers) == {" yes", " no"}
    assert answers.count(" yes") > 4 * answers.count(" no")


def test_the_parts_are_the_same_for_other_files_in_another_order(path, parts):
    folder = path.parent / "tasks"
    lines = (folder / "words.jsonl").read_text().splitlines(keepends=True)
    (folder / "words.jsonl").unlink()
    (folder / "tasks" / "words.toml").write_text((folder / "tasks" / "words.toml").read_text())
    (folder / "sets.toml").write_text((folder / "sets.toml").read_text().replace("words.jsonl", "other-*.jsonl"))
    (folder / "other-1.jsonl").write_text("".join(reversed(lines[20:])))
    (folder / "other-2.jsonl").write_text("".join(lines[:20]))
    again = study_parts(load_study(str(path)))["words"]
    assert again.lines == parts["words"].lines
    assert sorted(held_prompts(again)) == sorted(held_prompts(parts["words"]))


def test_a_larger_share_adds_to_the_training_part_and_moves_nothing_else(path):
    catalogue, folder = Catalogue(str(path.parent / "tasks")), str(path.parent / "tasks")
    few, many = (set(prompts(open_parts("words", catalogue, folder, share).lines)) for share in (0.3, 0.6))
    assert few < many


def test_examples_that_belong_together_stay_together(path):
    task = path.parent / "tasks" / "tasks" / "words.toml"
    task.write_text(task.read_text().replace("[fields]", "together = \"text.split(' ')[0][:1]\"\n[fields]"))
    of_task = study_parts(load_study(str(path)))["words"]
    first = [
        {prompt.removeprefix("Is ")[0] for prompt in some} for some in (prompts(of_task.lines), held_prompts(of_task))
    ]
    assert not first[0] & first[1]


def test_a_part_without_examples_is_refused(path):
    folder = str(path.parent / "tasks")
    one = open_set("words", Catalogue(folder), folder)
    with pytest.raises(GlamError, match=r"of 1 examples [01] are for training.*change fine_tuning.train_share"):
        part(replace(one, examples=one.examples[:1]), 0.5)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'tasks = ["letters", "words"]',
            'tasks = ["numbers"]',
            "fine_tuning.tasks: the catalogue has no numbers; it has",
        ),
        ("train_share = 0.6", "train_share = 1.0", "fine_tuning.train_share: .*less than 1"),
        ("steps = 12\nbatch_rows = 4\nlearning", "batch_rows = 4\nlearning", "fine_tuning.steps: Field required"),
    ],
)
def test_a_wrong_fine_tuning_is_refused(path, old, new, said):
    with pytest.raises(ConfigError, match=said):
        load_study(changed(path, old, new))


def test_a_task_that_is_not_scored_by_accuracy_is_refused(path):
    task = path.parent / "tasks" / "tasks" / "words.toml"
    task.write_text(task.read_text() + 'metrics = ["f1a"]\n')
    with pytest.raises(ConfigError, match="words: is not scored by accuracy; name tasks of options with a right one"):
        load_study(str(path))


def test_a_folder_without_the_tasks_files_is_refused_with_the_remedy(path):
    with pytest.raises(GlamError, match=r"letters: no examples .*--set fine_tuning.data=DIR, or GLAM_EVAL"):
        study_parts(load_study(str(path), [f"fine_tuning.data={path.parent}"]))


def test_the_plan_needs_no_data_and_charges_every_fine_tuning(path):
    answer = plan(load_study(str(path), ["fine_tuning.data=/nowhere"]))
    assert (answer["runs"], answer["fine_tunings"]) == (6, 12)
    assert answer["tokens"] == (6 + 12) * 12 * 4 * 32


def test_every_run_is_fine_tuned_on_every_task_and_lies_where_its_fingerprint_says(killed, finished):
    store = killed[1]
    seen = set()
    for entry in finished[0]["fine_tuning"]["arms"]:
        assert [run["seed"] for run in entry["runs"]] == [0, 1, 2]
        parents = {
            run["seed"]: run["id"] for a in finished[0]["arms"] if a["name"] == entry["arm"] for run in a["runs"]
        }
        for run in entry["runs"]:
            tuned = read_run(str(store / "runs" / run["id"]))
            assert tuned["finished"]
            assert tuned["parent"]["run"].endswith(parents[run["seed"]])
            assert run["parent"] == parents[run["seed"]]
            assert tuned["fingerprint"].startswith(run["id"])
            assert run["steps"] == 12
            assert run["evaluation"]["flops"] == run["evaluation"]["tokens"] * tuned["cost"]["forward_flops"]
            seen.add(run["id"])
    assert len(seen) == 12


def test_a_run_is_trained_on_the_one_part_and_scored_on_the_other(killed, finished):
    parts = study_parts(load_study(str(killed[0])))
    for entry in finished[0]["fine_tuning"]["tasks"]:
        of_task = parts[entry["task"]]
        assert (entry["trained_on"], entry["held"]) == (of_task.examples, len(of_task.held.examples))
        assert entry["data"] == of_task.digest
        assert entry["chance"] == 50.0
        assert entry["majority"] > 75
    numbers = {name: {example.number for example in of_task.held.examples} for name, of_task in parts.items()}
    for file in (killed[1] / "runs").glob("*/evaluation/*/0-0-*.jsonl"):
        answered = {json.loads(line)["example"] for line in file.read_text().splitlines()[1:]}
        assert answered == numbers[file.parent.name]


def test_fine_tuning_teaches_what_is_usual_and_the_gain_is_after_less_before(finished):
    rows = finished[0]["fine_tuning"]["arms"]
    for row in rows:
        assert row["gain"]["score"] == pytest.approx(row["after"]["score"] - row["before"]["score"])
        for stage in ("before", "after", "gain"):
            assert row[stage]["low"] <= row[stage]["score"] <= row[stage]["high"]
        assert row["after"]["score"] > 70
    assert max(row["gain"]["score"] for row in rows) > 30  # of opposite answers no model says both without it


def test_differences_are_of_accuracy_and_paired_by_seed(finished):
    tuning = finished[0]["fine_tuning"]
    (comparison,) = tuning["comparisons"]
    assert [(row["task"], row["stage"]) for row in comparison["results"]] == [
        (task, stage) for task in ("letters", "words") for stage in ("before", "after", "gain")
    ]
    scores = {(row["arm"], row["task"]): row for row in tuning["arms"]}
    for row in comparison["results"]:
        by_arm = [scores[arm, row["task"]][row["stage"]]["score"] for arm in (comparison["a"], comparison["b"])]
        assert row["difference"] == pytest.approx(by_arm[0] - by_arm[1])
        assert row["difference"] == pytest.approx(np.mean(row["by_seed"]))
        assert row["low"] <= row["difference"] <= row["high"]
        assert row["verdict"].startswith(("wide better by", "narrow better by", "not distinguishable"))
    assert verdicts(finished[0])["fine_tuning"] == tuning


def test_the_report_has_the_fine_tuning_and_its_bill(killed, finished):
    html = (killed[1] / "studies" / finished[0]["id"] / "report.html").read_text()
    assert 'id="fine-tuning"' in html
    assert "Fine-tuned on words:" in html
    assert html.count("<td>fine-tuning</td>") >= 2


def tuned_runs(killed, overrides):
    """The folders of a study's fine-tunings with other values, and of the runs that they go on with."""
    loaded, store = load_study(str(killed[0]), overrides), str(killed[1])
    (url,) = (killed[1] / "versions").iterdir()
    versions = dict.fromkeys(loaded.study.arms, Version(str(url), read_manifest(str(url), "version")))
    jobs = fine_tuning_jobs(loaded, plan_runs(loaded, versions, store), versions, study_parts(loaded), store)
    return {job["run_dir"] for job in jobs}, {job["fine_tuning"]["parent"] for job in jobs}


@pytest.mark.usefixtures("finished")
def test_other_examples_or_settings_are_other_fine_tunings_of_the_same_runs(killed, tmp_path):
    tuned, parents = tuned_runs(killed, [])
    assert all(Path(folder, "run.json").exists() for folder in tuned | parents)
    for file in Path(killed[0].parent, "tasks").glob("*.jsonl"):
        (tmp_path / file.name).write_text(file.read_text().replace('"text": "', '"text": "the '))
    for overrides in ([f"fine_tuning.data={tmp_path}"], ["fine_tuning.steps=13"], ["fine_tuning.learning_rate=0.2"]):
        others, same = tuned_runs(killed, overrides)
        assert not others & tuned
        assert same == parents


def test_files_that_change_under_a_study_are_noticed(killed):
    loaded, folder = load_study(str(killed[0])), str(killed[0].parent / "tasks")
    told = {"task": "words", "catalogue": folder, "sets": folder, "digest": "0" * 64, "parent": "", "data": ""}
    told |= {"settings": loaded.study.fine_tuning.model_dump()}
    with pytest.raises(GlamError, match="the files of words changed while the study ran; run it again"):
        work_on_task({"run_dir": "", "seed": 0, "fine_tuning": told}, None, SilentDisplay().move, False)
