"""Every study that stands ready loads and is planned without any data, and compares what it says it does."""

from pathlib import Path

import pytest

from trainer.ablation.planning import plan
from trainer.ablation.study import load_study

FOLDER = Path(__file__).parents[3] / "configs" / "studies"
STUDIES = sorted(FOLDER.glob("*.toml"))


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
