"""What goes into a report, and what of it is on the page without a browser."""

import re
import shutil

import pytest

from pipelines.store.errors import GlamError
from pipelines.store.files import write_json
from tests.report.made_study import HOSTILE_TEXT
from tests.trainer.evaluation.test_domains import entries
from trainer.ablation.report.charts import Axis, curves, forest, histogram, tick_label
from trainer.ablation.report.data import any_report, study_report
from trainer.ablation.report.page import render
from trainer.evaluation.domains import domain_figures


@pytest.fixture(scope="session")
def data(study, store):
    return study_report(study, str(store))


def test_the_verdict_names_gains_and_losses_apart(data):
    against_random = data["comparisons"][0]
    assert against_random["headline"]["domain"] == "curated"
    assert [row["domain"] for row in against_random["losses"]] == ["web"]
    assert {"news", "books"} <= {row["domain"] for row in against_random["gains"]}
    told = {row["domain"] for row in against_random["gains"] + against_random["losses"]}
    assert not told & {row["domain"] for row in against_random["level"]}


def test_tokens_are_counted_where_there_are_any_and_estimated_before(data):
    rows = {row["stage"]: row for row in data["flow"] if row["source"] == "formasaurus"}
    assert (rows["extract"]["tokens_out"], rows["extract"]["estimated"]) == (918_000, True)
    assert (rows["deduplicate"]["tokens_in"], rows["deduplicate"]["tokens_out"]) == (918_000, 656_000)
    assert (rows["sample"]["tokens_in"], rows["sample"]["tokens_out"]) == (595_000, 225_000)
    assert not rows["sample"]["estimated"]


def test_every_step_of_the_flow_balances(data):
    for row in data["flow"]:
        assert row["in"] == row["out"] + sum(number for _, number in row["dropped"]), row


def test_a_step_that_versions_share_stands_once_and_names_them(data):
    shared = [row for row in data["flow"] if (row["source"], row["stage"]) == ("formasaurus", "deduplicate")]
    assert [row["versions"] for row in shared] == [["filtered", "random", "unfiltered"]]
    (sample,) = [row for row in data["flow"] if row["stage"] == "sample"]
    assert sample["versions"] == ["filtered"]


def test_epochs_are_weight_times_tokens_trained_over_tokens_there_are(data):
    (web,) = [row for row in data["mixture"][0]["rows"] if row["component"] == "web"]
    assert web["epochs"] == pytest.approx(0.42 * 256_000 / 90_000)


def test_expert_load_is_in_units_of_an_even_share(data):
    layer = data["experts"][0]["layers"][0]
    assert sum(layer["loads"]) / len(layer["loads"]) == pytest.approx(1)
    assert layer["loads"] == pytest.approx([0.31 * 4, 0.26 * 4, 0.22 * 4, 0.21 * 4])  # busiest first


def test_the_bill_adds_up(data):
    bill = data["bill"]
    rows = bill["stages"] + bill["runs"]
    assert bill["total"]["cpu_seconds"] == pytest.approx(sum(row["cpu_seconds"] for row in rows))
    assert bill["total"]["flops"] == 9 * (957_087_744_000 + 162_000_000_000 + 2 * 10**11) + 3 * 10**12


def test_the_bill_of_an_arm_is_what_it_would_cost_alone(data):
    bill = data["bill"]
    rows = [row for row in bill["arms"] if row["arm"] == "filtered"]
    assert [row["work"] for row in rows] == [
        "extraction",
        "deduplication",
        "filtering",
        "tokenizing",
        "search",
        "training",
        "fine-tuning",
        "evaluation",
        "all",
    ]
    *works, total = rows
    for figure in ("seconds", "cpu_seconds", "flops", "bytes", "joules"):
        assert total[figure] == pytest.approx(sum(row[figure] for row in works))
    assert rows[0]["bytes"] == sum(row["bytes"] for row in bill["stages"] if row["stage"] == "extract")


def test_the_classifier_is_charged_to_what_it_scored_and_a_version_of_all_pages_pays_for_no_filter(data):
    bill = data["bill"]
    assert [row["stage"] for row in bill["stages"]].count("classifier") == 1
    filtering = {row["arm"]: row for row in bill["arms"] if row["work"] == "filtering"}
    assert set(filtering) == {"filtered", "random"}
    stages = [row for row in bill["stages"] if row["stage"] in ("classifier", "quality", "sample")]
    assert filtering["filtered"]["bytes"] == sum(row["bytes"] for row in stages)


def test_energy_is_what_counters_told_and_else_so_many_watts_a_core(data):
    rows = {row["work"]: row for row in data["bill"]["arms"] if row["arm"] == "filtered"}
    assert data["bill"]["watts"] == 10.0
    assert rows["training"]["joules"] == pytest.approx(10 * rows["training"]["cpu_seconds"])
    assert rows["training"]["measured"] == 0
    assert rows["fine-tuning"]["joules"] == pytest.approx(2 * 150 + 10 * 11.5)  # the third run was not measured
    assert rows["fine-tuning"]["measured"] == 300
    assert rows["evaluation"]["measured"] == 3 * 40
    html = " ".join(render(data).split())
    assert "1.26 kJ by the machine’s counters" in html
    assert "CPU seconds at 10.0 W a busy core." in html


def test_steps_of_the_corpus_are_charged_at_the_watts_of_the_measured_trainings(study, store):
    def measured(arm):
        return arm | {"runs": [run | {"joules": 4 * run["cpu_seconds"]} for run in arm["runs"]]}

    bill = study_report(study | {"arms": [measured(arm) for arm in study["arms"]]}, str(store))["bill"]
    assert (bill["watts"], bill["watts_measured"]) == (pytest.approx(4), True)
    row = next(row for row in bill["arms"] if row["work"] == "extraction")
    assert row["joules"] == pytest.approx(4 * row["cpu_seconds"])
    assert row["measured"] == 0


def test_a_gpus_counter_is_charged_where_it_was_read(study, store):
    def measured(arm):
        runs = [
            run | {"joules": 5000.0, "evaluation": run["evaluation"] | {"joules": 100.0}, "seed": run["seed"]}
            for run in arm["runs"]
        ]
        return arm | {"runs": runs}

    on_gpu = study | {"machine": study["machine"] | {"backend": "gpu"}, "search": None, "fine_tuning": None}
    bill = study_report(on_gpu | {"arms": [measured(arm) for arm in study["arms"]]}, str(store))["bill"]
    row = next(row for row in bill["arms"] if row["work"] == "training")
    assert row["joules"] == row["measured"] == 15_000
    assert bill["watts"] == 10.0  # a GPU's joules say nothing of a core


def test_fine_tuning_stands_in_the_verdict_and_in_a_section_of_its_own(data, study, store):
    html = " ".join(render(data).split())
    assert "Fine-tuned on sciq: not distinguishable (would need about 9 seeds)." in html
    assert "SciQ (sciq)" in html
    without = {key: value for key, value in study.items() if key != "fine_tuning"}
    assert 'id="fine-tuning"' not in render(study_report(without, str(store)))


def test_what_a_gpu_draws_is_not_made_up(study, store):
    on_gpu = study | {"machine": study["machine"] | {"backend": "gpu"}}
    bill = study_report(on_gpu, str(store))["bill"]
    assert bill["total"]["joules"] is None
    assert next(row for row in bill["arms"] if row["work"] == "extraction")["joules"] is not None
    assert "what a GPU draws is not modelled" in render(study_report(on_gpu, str(store)))


def test_the_proof_and_the_search_are_told(data):
    html = " ".join(render(data).split())
    assert "They differ in web (filtered: 90,000 tokens; random: 90,000) and in nothing else." in html
    assert "Learning rates" in html


def test_a_cost_that_is_not_reached_is_told_as_that(data):
    html = render(data)
    assert "not reached" in html or "reached by the least" in html


def test_tasks_stand_by_arm_where_a_run_was_evaluated(study, store):
    assert study_report(study, str(store))["tasks"] is None
    figure = {"score": 61.0, "low": 58.0, "high": 64.0, "n": 500, "deviation": None}
    task = {
        "metric": "accuracy",
        "metrics": {"accuracy": figure},
        "shots": 0,
        "chance": 50.0,
        "majority": 50.0,
        "dirty": 5,
        "n": 500,
        "clean": {"score": 60.5},
        "reference": {},
    }
    run = study["arms"][0]["runs"][1]["id"]
    write_json(str(store / "runs" / run / "evaluation" / "summary.json"), {"tasks": {"blimp": task}, "means": {}})
    (row,) = study_report(study, str(store))["tasks"]["rows"]
    assert (row["arm"], row["task"], row["dirty"]) == ("filtered", "blimp", 1.0)
    assert 'id="tasks"' in render(study_report(study, str(store)))
    (store / "runs" / run / "evaluation" / "summary.json").unlink()


def test_the_file_names_no_address_outside_itself_but_as_text(data):
    html = render(data)
    without_samples = re.sub(r'<p class="(where|text)">.*?</p>', "", html, flags=re.S)
    assert "http://" not in without_samples
    assert "https://" not in without_samples
    assert HOSTILE_TEXT not in html


@pytest.mark.usefixtures("study")
def test_a_version_alone_gives_the_corpus_sections(store):
    data = any_report("filtered", str(store))
    assert data["kind"] == "version"
    html = render(data)
    assert 'id="corpus"' in html
    assert 'id="scores"' in html
    assert 'id="verdict"' not in html
    assert 'id="curves"' not in html


@pytest.mark.parametrize("reference", ["demo", "5555", "5" * 32])
def test_a_study_is_found_by_name_prefix_and_id(study, store, reference):
    assert any_report(reference, str(store))["title"] == study["title"]


@pytest.mark.usefixtures("study")
def test_what_is_not_there_is_refused_by_name(store):
    with pytest.raises(GlamError, match="'nothing-of-this-name'"):
        any_report("nothing-of-this-name", str(store))


def test_a_study_of_another_format_is_refused(study, store):
    with pytest.raises(GlamError, match="format 1, this program reads 2; run it again"):
        study_report(study | {"format": 1}, str(store))


@pytest.fixture
def with_domains(study, store):
    """The store where the last run of one arm has figures by domain."""
    run = study["arms"][0]["runs"][-1]
    folder = store / "runs" / run["id"]
    figures = domain_figures(entries()) | {"context": 128, "stride": 64, "layers": [0], "experts": 2}
    write_json(str(folder / "evaluation" / "domains.json"), figures)
    yield run
    shutil.rmtree(folder)


def test_domains_and_experts_are_shown_of_the_first_run_of_an_arm_that_has_them(study, store, with_domains):
    made = study_report(study, str(store))
    (found,) = made["domains"]
    assert found["arm"] == f"filtered, seed {with_domains['seed']}"
    rows = {row["name"]: row for row in found["rows"]}
    assert {"in domain", "component web", "quality unscored", "language de", "web, quality 4 of 4"} <= set(rows)
    assert "out of domain: letters" in rows
    (layer,) = found["layers"]
    loads = {row["name"]: row["loads"] for row in layer["rows"]}
    assert loads["component books"] == [0, 2]  # in units of an even share
    page = render(made)
    assert "Not scored: books." in page
    assert "<summary>Experts of layer 0</summary>" in page


def test_ticks_are_round_and_within_the_axis():
    ticks = Axis(-0.0234, 0.0611).ticks()
    assert [tick["label"] for tick in ticks] == ["−0.02", "0.00", "0.02", "0.04", "0.06"]
    assert all(0 <= tick["percent"] <= 100 for tick in ticks)
    assert [tick_label(value, 100_000) for value in (0, 100_000, 1_200_000)] == ["0", "100k", "1.2M"]


def test_a_forest_row_without_an_interval_has_a_point_only():
    row = {"difference": 0.1, "low": None, "high": None, "bootstrap_low": 0.05, "bootstrap_high": 0.15}
    (place,) = forest([row])["rows"]
    assert place["low"] is None
    assert place["width"] is None
    assert place["bootstrap_low"] < place["point"] < place["bootstrap_low"] + place["bootstrap_width"]


def test_a_curve_is_the_mean_of_its_runs_within_their_range():
    drawn = curves([{"name": "a", "runs": [[(100, 5.0), (200, 3.0)], [(100, 5.0), (200, 4.0)]]}])
    assert drawn["series"][0]["last"] == 3.5
    heights = [float(point.split(",")[1]) for point in drawn["series"][0]["band"].split()]
    line = [float(point.split(",")[1]) for point in drawn["series"][0]["line"].split()]
    assert min(heights[1:3]) < line[1] < max(heights[1:3])


def test_bars_of_a_histogram_fill_the_width_and_the_highest_the_height():
    bars = histogram([1, 0, 4, 2])
    assert [bar["left"] for bar in bars] == [0, 25, 50, 75]
    assert bars[2]["height"] == 100
    assert bars[1]["height"] == 0 < bars[0]["height"] < bars[3]["height"]
