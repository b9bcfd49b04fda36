"""Study files: what they may say, what they cost, and what their domains are."""

import pytest

from pipelines.store.configuration import ConfigError
from tests.trainer.ablation.small_study import write_study
from trainer.ablation.statistics import detectable_effect
from trainer.ablation.study import domains, load_study, plan


@pytest.fixture
def path(tmp_path):
    return write_study(tmp_path)


def changed(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return str(path)


def test_an_arm_is_the_training_with_its_changes(path):
    study = load_study(str(path))
    assert study.trainings["narrow"].model.hidden_dim == 16
    assert study.trainings["wide"].model.hidden_dim == 64
    assert study.trainings["wide"].training == study.trainings["narrow"].training


def test_values_of_corpus_and_training_can_be_changed_for_all_arms(path):
    study = load_study(str(path), ["corpus_changes.seed=5", "training_changes.training.steps=3"])
    assert study.corpus.seed == 5
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
    assert answer["tokens"] == 6 * 12 * 4 * 32
    narrow, wide = answer["arms"]
    assert wide["flops"] > narrow["flops"]
    assert answer["detectable_effect"] == round(detectable_effect(3, 0.01), 4)


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
