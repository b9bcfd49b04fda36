"""Study files: what they may say, what they cost, and what their domains are."""

import pytest

from pipelines.store.configuration import ConfigError
from tests.trainer.ablation.small_study import changed, write_study
from trainer.ablation.domains import domains
from trainer.ablation.planning import plan
from trainer.ablation.statistics import detectable_effect
from trainer.ablation.study import load_study


@pytest.fixture
def path(tmp_path):
    return write_study(tmp_path)


def test_an_arm_is_the_training_with_its_changes(path):
    study = load_study(str(path))
    assert study.trainings["narrow"].model.hidden_dim == 16
    assert study.trainings["wide"].model.hidden_dim == 64
    assert study.trainings["wide"].training == study.trainings["narrow"].training


def test_values_of_corpus_and_training_can_be_changed_for_all_arms(path):
    study = load_study(str(path), ["corpus_changes.seed=5", "training_changes.training.steps=3"])
    assert {corpus.seed for corpus in study.corpora.values()} == {5}
    assert {config.training.steps for config in study.trainings.values()} == {3}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seeds = [0, 1, 2]", "seeds = [0, 1]", "seeds: .*at least 3"),
        ("seeds = [0, 1, 2]", "seeds = [0, 1, 1]", "each may stand once"),
        ('a = "wide"', 'a = "broad"', "'broad' is not an arm; known: narrow, wide"),
        ('a = "wide"', 'a = "narrow"', "compared with itself"),
        ('curated = ["books"]', 'curated = ["news"]', "curated: the corpus has no news; it has books, web"),
        ('[arms.wide]\nversion = "all"', '[arms.wide]\nversion = "none"', "arms: version: the corpus has no none"),
        ("hidden_dim = 64", "hidden_dimension = 64", "arms.wide: model.hidden_dimension: there is no such key"),
        ("workers = 2", "worker = 2", "worker: there is no such key"),
    ],
)
def test_a_wrong_study_is_refused_with_file_key_and_remedy(path, old, new, said):
    with pytest.raises(ConfigError, match=said) as error:
        load_study(changed(path, old, new))
    assert str(path) in str(error.value)


def test_a_plan_tells_runs_cost_and_what_the_seeds_can_tell(path):
    answer = plan(load_study(str(path)))
    assert answer["runs"] == 6
    assert answer["tokens"] == (6 + 12) * 12 * 4 * 32  # with twelve fine-tunings
    narrow, wide = answer["arms"]
    assert wide["flops"] > narrow["flops"]
    assert answer["detectable_effect"] == round(detectable_effect(3, 0.01), 4)


def test_of_several_bases_a_later_one_replaces_an_earlier_ones_values_and_the_file_both(path):
    (path.parent / "first.toml").write_text('base = "study.toml"\ntitle = "First"\nquestion = "First?"\n')
    (path.parent / "second.toml").write_text('question = "Second?"\n[training_changes.training]\nsteps = 5\n')
    last = path.parent / "last.toml"
    last.write_text('base = ["first.toml", "second.toml"]\nname = "last"\n')
    loaded = load_study(str(last))
    assert (loaded.study.name, loaded.study.title, loaded.study.question) == ("last", "First", "Second?")
    assert loaded.study.seeds == [0, 1, 2]
    assert {config.training.steps for config in loaded.trainings.values()} == {5}


def test_a_file_that_is_a_base_of_itself_is_refused(path):
    (path.parent / "a.toml").write_text('base = "b.toml"\n')
    (path.parent / "b.toml").write_text('base = "a.toml"\n')
    with pytest.raises(ConfigError, match=r"a.toml: base: the file is a base of itself .*name another"):
        load_study(str(path.parent / "a.toml"))


def test_a_size_of_the_family_is_not_undone_by_the_training_that_it_changes(path):
    study = load_study(str(path), ['training_changes.model.size="0.1B"'])
    assert {config.model.layers for config in study.trainings.values()} == {12}
    assert study.trainings["wide"].model.hidden_dim == 64  # which the arm says


def test_a_budget_of_tokens_gives_all_arms_the_same_steps(path):
    study = load_study(str(path), ["budget.tokens=1000"])
    assert {config.training.steps for config in study.trainings.values()} == {1000 // (4 * 32)}


def test_a_budget_of_flops_gives_the_cheaper_model_more_steps(path):
    narrow, wide = plan(load_study(str(path), ['budget.flops="1B"']))["arms"]
    for arm in (narrow, wide):
        of_a_step = arm["flops"] // (arm["steps"] * 3)
        assert arm["steps"] == 1_000_000_000 // of_a_step
    assert narrow["steps"] > wide["steps"]


def test_a_budget_under_one_step_is_refused(path):
    with pytest.raises(ConfigError, match="less than one step, 128 tokens"):
        load_study(str(path), ["budget.tokens=100"])


def test_a_search_costs_runs_of_its_own(path):
    without = plan(load_study(str(path)))
    answer = plan(load_study(str(path), ["search.learning_rates=[0.1, 0.2]", "search.steps=6"]))
    assert (answer["runs"], answer["search_runs"]) == (6, 4)
    assert answer["tokens"] == without["tokens"] + 4 * 6 * 4 * 32


def test_a_search_may_not_use_a_seed_of_the_comparison(path):
    with pytest.raises(ConfigError, match="1 is one of the study's seeds"):
        load_study(str(path), ["search.learning_rates=[0.1, 0.2]", "search.seed=1"])


def test_a_saving_names_arms_that_there_are(path):
    saving = '[[savings]]\nsaver = ["wide", "broad"]\nreference = ["narrow"]\nclaim = "?"\n[[comparisons]]'
    with pytest.raises(ConfigError, match="savings: 'broad' is not an arm"):
        load_study(changed(path, "[[comparisons]]", saving))


def test_curated_leaves_out_what_was_held_out_whole():
    held_out = {
        "enwiki": ("wikipedia", False),
        "lee": ("news", False),
        "lee-test": ("news", True),
        "web": ("web", False),
    }
    found = {domain.name: (domain.kind, domain.sources) for domain in domains(held_out, ["wikipedia", "news"])}
    assert found["curated"] == ("curated", ("enwiki", "lee"))
    assert found["news"] == ("component", ("lee",))
    assert found["lee-test"] == ("out of domain", ("lee-test",))


def test_sources_stand_by_themselves_where_a_component_has_several():
    held_out = {"a": ("books", False), "b": ("books", False), "c": ("web", False)}
    names = [domain.name for domain in domains(held_out, ["books"])]
    assert names == ["curated", "books", "web", "a", "b"]
