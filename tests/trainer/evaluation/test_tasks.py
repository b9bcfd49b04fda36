"""Tasks: which files describe them, how records become questions, and how what is wrong is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.contamination.evaluation_records import EvaluationSetError
from pipelines.store.configuration import ConfigError
from tests.trainer.evaluation.scripted import catalogue
from trainer.evaluation.evaluate import open_set
from trainer.evaluation.examples import Question, TaskReader
from trainer.evaluation.task import Catalogue, TaskSettings

SETS = '[sets.made]\nfiles = ["{folder}/made.jsonl"]\ndemonstrations = ["{folder}/more.jsonl"]\nfields = ["q"]\n'
TASK = (
    'set = "made"\ntitle = "Made"\n[fields]\nq = "q"\nchoices = "choices.*"\nlabel = "label"\n[ranking]\n'
    "context = \"Q: {{ q }}\\nA:\"\noptions = 'choices'\ngold = 'label'\n"
)
RECORD = {"q": "Who?", "choices": ["he", "she", "it"], "label": 1}


def made_catalogue(tmp_path: Path, task: str = TASK, sets: str = SETS, suites: str = "[suites]\n") -> Catalogue:
    (tmp_path / "tasks").mkdir(exist_ok=True)
    (tmp_path / "tasks" / "made.toml").write_text(task)
    (tmp_path / "sets.toml").write_text(sets)
    (tmp_path / "suites.toml").write_text(suites)
    return Catalogue(str(tmp_path))


def questions(tmp_path: Path, records: list[dict], task: str = TASK) -> list[Question]:
    (tmp_path / "made.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    one = open_set("made", made_catalogue(tmp_path, task), str(tmp_path))
    return [one.reader.question(example) for example in one.examples]


def test_the_paper_has_29_tasks_in_seven_categories():
    glam = [catalogue().tasks[name] for name in catalogue().suites["glam"].tasks]
    assert [len(catalogue().suites[name].tasks) for name in ("nlg", "nlu")] == [8, 21]
    assert [len([task for task in glam if task.generation]), len([task for task in glam if task.ranking])] == [8, 21]
    categories = [task.category for task in glam]
    assert sorted(categories.count(name) for name in set(categories)) == [2, 3, 3, 3, 4, 6, 8]
    assert catalogue().suites["glam"].tasks == catalogue().suites["nlg"].tasks + catalogue().suites["nlu"].tasks


def test_shots_are_the_papers_where_they_are_known_and_8_elsewhere():
    known = {name: task.shots for name, task in catalogue().tasks.items() if task.shots_of == "GLaM"}
    expected = {"triviaqa": 1, "nq_open": 1, "squadv2": 10, "drop": 2, "winograd": 2, "winogrande": 16}
    expected |= {"race_m": 8, "race_h": 2, "arc_challenge": 3, "arc_challenge_dev": 3, "copa": 16, "multirc": 4}
    expected |= {"wsc": 2, "cb": 8, "anli_r1": 2, "anli_r2": 10, "anli_r3": 4}
    assert known == expected
    assert {task.shots for task in catalogue().tasks.values() if task.shots_of == "ours"} == {8}


def test_published_figures_are_of_one_task_alone():
    told = {name: task.reference for name, task in catalogue().tasks.items() if task.reference}
    assert told["race_h"]["accuracy"]["glam"].of("0") is None
    assert told["race_h"]["accuracy"]["glam"].of("1").score == 48.7
    assert (set(told["openbookqa"]["accuracy"]), told["anli_r2"]["accuracy"]["glam"].zero) == ({"gpt3"}, None)
    assert not {name for name in told if name.endswith("_dev")}


def test_options_stand_in_their_contexts(tmp_path):
    (question,) = questions(tmp_path, [RECORD])
    assert question.contexts == ("Q: Who?\nA:",) * 3
    assert question.continuations == (" he", " she", " it")
    assert (question.gold, question.demonstration) == ((1,), "Q: Who?\nA: she")


def test_a_record_of_several_examples_gives_each_its_own_values(tmp_path):
    fields = {"title": "t", "passage": "p.*.text", "q": "p.*.qs.*.q", "all": "p.*.qs.*", "words": "p.*.words.*"}
    ranking = {"context": "{{ title }} {{ passage }} {{ words | join('+') }} {{ q }} {{ index }} {{ all.q }}"}
    settings = {"set": "made", "title": "Made", "each": "p.*.qs.*", "fields": fields}
    task = TaskSettings.model_validate(settings | {"ranking": ranking | {"options": "['a']"}})
    record = {"t": "T", "p": [{"text": "P", "words": ["x", "y"], "qs": [{"q": 1}, {"q": 2}]}, {"text": "Q", "qs": []}]}
    record["p"].append({"text": "R", "words": [], "qs": [{"q": 3}]})
    (tmp_path / "made.jsonl").write_text(json.dumps(record) + "\n" + json.dumps({"t": "U", "p": []}) + "\n")
    reader = TaskReader("made", task)
    examples = list(reader.read([str(tmp_path / "made.jsonl")], "*"))
    assert [(example.number, example.line) for example in examples] == [(0, 1), (1, 1), (2, 1)]
    contexts = [reader.question(example).contexts[0] for example in examples]
    assert contexts == ["T P x+y 1 0 1", "T P x+y 2 1 2", "T R  3 0 3"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"q": None},
            r"made\.jsonl: line 2: there is no q \(made: fields\.q\); the record has the keys choices, label",
        ),
        ({"label": "she"}, r"made\.jsonl: line 2: made: gold gives 'she', which is none of the 3 options"),
        ({"label": 3}, r"line 2: made: gold gives 3"),
        ({"label": -1}, r"line 2: made: gold gives -1"),
        ({"choices": []}, r"line 2: made: options gives \[\], no list of texts"),
        ({"choices": [1, 2]}, r"line 2: made: options gives \[1, 2\]"),
    ],
)
def test_a_field_that_is_missing_or_wrong_is_told_with_file_line_and_field(tmp_path, change, problem):
    with pytest.raises(EvaluationSetError, match=problem):
        questions(tmp_path, [RECORD, RECORD | change])


def test_a_label_that_is_no_class_is_refused(tmp_path):
    task = TASK.replace("gold = 'label'", "gold = \"['yes', 'no'].index(label)\"")
    with pytest.raises(EvaluationSetError, match=r"line 1: made: gold 'maybe' is not in list; the fields are q = 'Who"):
        questions(tmp_path, [RECORD | {"label": "maybe"}], task)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "{{ q }}",
            "{{ question }}",
            "made: ranking.context: question is no field; there are choices, index, label, o",
        ),
        ("{{ q }}", "{{ q", "made: ranking.context: .*; mend the template"),
        ("options = 'choices'", "options = 'choices +'", "made: ranking.options: .*; mend the template"),
        ("gold = 'label'", "gold = 'option'", "made: ranking.gold: option is no field"),
        ('set = "made"', 'set = "other"', r"made\.toml: set: 'other' is not in sets\.toml; there are made"),
        ("[ranking]", "[rank]", r"made\.toml: rank: there is no such key"),
        ('title = "Made"', 'title = "Made"\nlike = "that"', r"like: 'that' is not in tasks/; there are made"),
        ("options = 'choices'", "options = 'choices'\nmetrics = ['f2']", r"made\.toml: ranking\.metrics\.0"),
        ("[ranking]", '[reference.em]\nglam.zero = {score = 1, read = "P"}\n[ranking]', "em is none of the metrics"),
    ],
)
def test_a_task_that_makes_no_sense_is_refused_by_its_key(tmp_path, old, new, problem):
    with pytest.raises(ConfigError, match=problem):
        questions(tmp_path, [RECORD], TASK.replace(old, new))


def test_a_task_runs_no_code_of_the_machine(tmp_path):
    task = TASK.replace("{{ q }}", "{{ q.__class__.__mro__ }}")
    with pytest.raises(EvaluationSetError, match="unsafe"):
        questions(tmp_path, [RECORD], task)


def test_suites_and_tasks_are_named_and_unknown_ones_refused(tmp_path):
    known = made_catalogue(tmp_path, suites='[suites.two]\ntitle = "t"\ntasks = ["made"]\n')
    assert list(known.named(["two", "made"])) == list(known.named(["all"])) == ["made"]
    with pytest.raises(ConfigError, match=r"--tasks piqa: there is no such task; there are heldout, .* two .* made"):
        known.named(["piqa"])
    with pytest.raises(ConfigError, match=r"suites\.two: 'gone' is not in tasks/"):
        made_catalogue(tmp_path, suites='[suites.two]\ntitle = "t"\ntasks = ["gone"]\n')
