"""Every study that stands ready loads and is planned without any data, and compares what it says it does."""

import os
from pathlib import Path

import pytest

from trainer.ablation.planning import plan
from trainer.ablation.study import load_study

FOLDER = Path(__file__).parents[3] / "configs" / "studies"
STUDIES = sorted(FOLDER.glob("*.toml"))
ON_GPU = [path for path in STUDIES if path.stem.endswith("_gpu")]
MEMORY = 80e9
"""Bytes of the GPU that configs/studies/base/gpu.toml is for."""

QUESTIONS = {
    "alpha",
    "classifier_positives",
    "data_efficiency",
    "data_quality",
    "deduplication",
    "expert_size",
    "fine_tuning",
    "mixture_weights",
    "moe_dense",
    "web_share",
}


@pytest.fixture(scope="module", params=STUDIES, ids=lambda path: path.stem)
def loaded(request):
    return load_study(str(request.param))


def test_it_validates_and_has_a_plan(loaded):
    answer = plan(loaded)
    assert answer["runs"] == len(loaded.study.arms) * len(loaded.study.seeds)
    assert answer["flops"] > 0
    for comparison in answer["comparisons"]:
        assert comparison["differ"], comparison


def test_its_head_has_the_command_and_says_what_to_expect(loaded):
    head = [line for line in Path(loaded.path).read_text().splitlines() if line.startswith("#")]
    text = "\n".join(head)
    assert f"configs/studies/{Path(loaded.path).name}" in text
    assert "Time" in text or "take" in text
    assert "Expect" in text


def test_every_question_has_a_two_core_size_and_a_gpu_size():
    for question in QUESTIONS:
        small, large = (load_study(str(FOLDER / f"{question}{size}.toml")).study for size in ("", "_gpu"))
        assert (small.backend, small.workers) == ("cpu", 2)
        assert (large.backend, large.workers) == ("gpu", 1)
        assert small.name != large.name


@pytest.mark.parametrize("path", ON_GPU, ids=lambda path: path.stem)
def test_a_gpu_study_trains_large_models_that_fit_the_gpu(path):
    from trainer.memory import memory

    loaded = load_study(str(path))
    sizes = {
        name: (corpus.tokenizer.vocabulary_size, corpus.pack.sequence_length) for name, corpus in loaded.corpora.items()
    }
    resolved = {name: config.resolved(sizes[name][1], "gpu") for name, config in loaded.trainings.items()}
    programs = {config.model_dump_json(): (config, sizes[name]) for name, config in resolved.items()}
    for config, size in programs.values():
        assert sum(memory(config, *size)) < MEMORY
    assert max(arm["parameters"] for arm in plan(loaded)["arms"]) > 300e6


def test_experts_are_counted_from_1_to_64_and_to_256_on_a_gpu():
    def counts(name):
        return {config.model.experts or 1 for config in load_study(str(FOLDER / f"{name}.toml")).trainings.values()}

    assert counts("expert_count") == {1, 4, 8, 16, 32, 64}
    assert counts("moe_dense_gpu") == {1, 8, 64, 256}


def test_the_saving_factor_has_four_dense_and_three_mixture_sizes_tuned_alike():
    loaded = load_study(str(FOLDER / "saving_factor_gpu.toml"))
    (saving,) = loaded.study.savings
    sizes = {name: config.model.experts for name, config in loaded.trainings.items()}
    assert len([name for name in saving.reference if not sizes[name]]) >= 4
    assert len([name for name in saving.saver if sizes[name]]) >= 3
    assert loaded.study.search is not None
    assert {"flops", "seconds"} < set(saving.axes)


def test_fine_tuning_goes_on_with_the_runs_of_the_study_of_experts():
    for size in ("", "_gpu"):
        tuned, trained = (load_study(str(FOLDER / f"{name}{size}.toml")) for name in ("fine_tuning", "moe_dense"))
        assert tuned.trainings == trained.trainings
        assert tuned.corpora == trained.corpora
        assert (tuned.study.seeds, tuned.study.search) == (trained.study.seeds, trained.study.search)
        assert len(tuned.study.fine_tuning.tasks) >= 2


@pytest.mark.skipif("GLAM_EVAL" not in os.environ, reason="GLAM_EVAL names no folder of evaluation sets")
@pytest.mark.parametrize("name", ["fine_tuning", "fine_tuning_gpu"])
def test_the_tasks_of_fine_tuning_have_examples_enough_on_both_sides(name):
    from trainer.ablation.fine_tuning.jobs import study_parts

    for of_task in study_parts(load_study(str(FOLDER / f"{name}.toml"))).values():
        held = len(of_task.held.examples)
        assert held >= 200
        assert 0.6 < of_task.examples / (of_task.examples + held) < 0.8


def test_all_arms_are_compared(loaded):
    compared = {arm for comparison in loaded.study.comparisons for arm in (comparison.a, comparison.b)}
    matched = {arm for saving in loaded.study.savings for arm in (*saving.saver, *saving.reference)}
    assert compared | matched == set(loaded.study.arms)


@pytest.mark.parametrize("name", ["moe_dense", "expert_count", "moe_dense_gpu"])
def test_the_dense_twin_costs_the_same_flops_a_token_but_for_the_router(name):
    answer = plan(load_study(str(FOLDER / f"{name}.toml")))
    flops = {arm["name"]: arm["flops"] / arm["tokens"] for arm in answer["arms"]}
    dense = flops.pop("dense" if "dense" in flops else "experts_1")
    for arm, of_arm in flops.items():
        assert dense < of_arm < dense * 1.06, arm


def test_arms_of_one_flop_budget_cost_the_same():
    answer = plan(load_study(str(FOLDER / "expert_size.toml")))
    flops = [arm["flops"] for arm in answer["arms"]]
    assert max(flops) < min(flops) * 1.01
    assert len({arm["steps"] for arm in answer["arms"]}) == len(flops)
