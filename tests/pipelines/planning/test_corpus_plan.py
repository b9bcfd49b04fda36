"""A plan reckons from the tokens that are to come out back to what must go in, by rates and assumptions alone."""

from __future__ import annotations

import json

import pytest

from pipelines.config import CorpusConfig
from pipelines.planning.assumptions import CorpusAssumptions
from pipelines.planning.corpus import plan_corpus, sampled_share
from pipelines.planning.rates import Rate, Rates, read_rates
from pipelines.store.errors import GlamError

STAGE = Rate(speed=1e6, start=3.6, kept=0.1, sent=0.2)
RATES = Rates(
    stages=dict.fromkeys(("deduplicate", "holdout", "tokenize", "quality", "sample", "account", "pack"), STAGE),
    readers={
        "warc": Rate(speed=1e5, kept=0.5, sent=0.5, raw=10),
        "jsonl": Rate(speed=1e6, kept=0.4, sent=0.4, raw=0.3),
    },
)
ASSUMED = CorpusAssumptions(bytes_per_token=4, selected=0.5, selected_others=1, unique=0.8, sampled=0.1)


def corpus(**changes) -> CorpusConfig:
    values = {
        "name": "planned",
        "sources": {
            "pages": {"component": "web", "reader": "warc", "files": ["*.warc.gz"]},
            "wire": {"component": "news", "reader": "jsonl", "files": ["*.jsonl"]},
        },
        "holdout": {"share": 0},
        "quality": {"positives": [{"sources": ["wire"]}], "negatives": [{"sources": ["pages"]}]},
        "sample": {"on": "score", "alpha": "9"},
        "mixture": {
            "web": {"weight": 0.5, "expected_tokens": "1B"},
            "news": {"weight": 0.5, "expected_tokens": "2B"},
        },
        "versions": {"filtered": {"web": "filtered"}},
    }
    return CorpusConfig.model_validate(values | changes)


def test_text_is_reckoned_back_through_every_step():
    plan = plan_corpus(corpus(), RATES, ASSUMED)
    web, news = plan.components["web"], plan.components["news"]
    assert (web.packed, web.unique, web.extracted, web.raw) == pytest.approx((4e9, 4e10, 1e11, 1e12))
    assert (news.packed, news.unique, news.extracted, news.raw) == pytest.approx((8e9, 8e9, 1e10, 3e9))


def test_stages_cost_what_their_text_costs():
    stages = plan_corpus(corpus(), RATES, ASSUMED).stages
    assert stages["extract"].cpu_hours == pytest.approx((1e11 / 1e5 + 1e10 / 1e6) / 3600)
    assert stages["deduplicate"].cpu_hours == pytest.approx((1.1e11 / 1e6 + 3.6) / 3600)
    assert stages["quality"].cpu_hours == pytest.approx((4e10 / 1e6 + 3.6) / 3600)  # web alone is scored
    assert stages["pack"].kept == pytest.approx(1.2e9)
    assert stages["deduplicate"].sent == pytest.approx(2.2e10)


def test_a_version_that_takes_all_pages_needs_fewer_of_them():
    everything = plan_corpus(corpus(versions={"all": {}}), RATES, ASSUMED)
    assert everything.components["web"].unique == pytest.approx(4e9)
    assert everything.stages["quality"].cpu_hours == 0


def test_a_stage_that_was_not_measured_is_asked_for_where_the_configuration_has_it():
    compared = corpus(decontaminate={"sets": {"made": {"files": ["x.jsonl"], "fields": ["text"]}}})
    with pytest.raises(GlamError, match=r"no figures of the stage decontaminate; make it with"):
        plan_corpus(compared, RATES, ASSUMED)
    measured = Rates(RATES.stages | {"decontaminate": STAGE}, RATES.readers)
    assert plan_corpus(compared, measured, ASSUMED).stages["decontaminate"].cpu_hours == pytest.approx(
        (4.8e10 / 1e6 + 3.6) / 3600
    )


def test_hours_and_dollars_follow_from_cpu_hours():
    plan = plan_corpus(corpus(), RATES, ASSUMED.model_copy(update={"core_speed": 0.5, "busy": 0.8}))
    assert plan.core_hours == pytest.approx(plan.cpu_hours / 0.4)
    assert plan.hours(10) == pytest.approx(plan.core_hours / 160)
    assert plan.cost()["cores"] == pytest.approx(plan.core_hours * 0.056)


@pytest.mark.parametrize("alpha", ["1", "3", "9"])
def test_by_rank_the_share_kept_depends_on_alpha_alone(alpha):
    found = sampled_share(corpus(sample={"on": "rank", "alpha": alpha}), ASSUMED)
    steps = 100_000
    mean = sum((2 - (number + 0.5) / steps) ** -float(alpha) for number in range(steps)) / steps
    assert found == pytest.approx(mean, rel=1e-6)


def test_without_expected_tokens_there_is_no_plan():
    silent = corpus(mixture={"web": {"weight": 0.5, "expected_tokens": "1B"}, "news": {"weight": 0.5}})
    with pytest.raises(GlamError, match=r"nobody knows how many tokens news will have; add expected_tokens"):
        plan_corpus(silent, RATES, ASSUMED)


def test_a_reader_that_was_not_measured_counts_as_the_slowest():
    assert RATES.reader("mbox") == RATES.readers["warc"]


def figures(*rows):
    return [{"benchmark": "stage_rates", "subject": subject, "value": value} for subject, value in rows]


def test_rates_are_read_from_the_benchmark(tmp_path):
    path = tmp_path / "rates.json"
    rows = figures(("pack: speed", 5.0), ("pack: start", 0.5), ("extract warc: speed", 1.2), ("extract warc: raw", 20))
    path.write_text("a line before\n" + json.dumps(rows))
    rates = read_rates(str(path))
    assert rates.stages == {"pack": Rate(speed=5e6, start=0.5)}
    assert rates.readers == {"warc": Rate(speed=1.2e6, raw=20)}


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '[{"subject": 3}]'])
def test_what_is_no_benchmark_is_refused_with_the_command_that_makes_one(tmp_path, text):
    path = tmp_path / "rates.json"
    path.write_text(text)
    with pytest.raises(GlamError, match=r"rates\.json: .*make it with: python benchmarks/stage_rates\.py"):
        read_rates(str(path))
    with pytest.raises(GlamError, match="cannot be read"):
        read_rates(str(tmp_path / "none.json"))
