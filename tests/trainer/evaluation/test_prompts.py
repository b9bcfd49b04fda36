"""Demonstrations: drawn by hash, dropped whole for want of room; what is answered is kept and never asked again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.trainer.evaluation.scripted import Scripted, run
from tests.trainer.evaluation.test_tasks import RECORD, made_catalogue
from trainer.evaluation.evaluate import Asking, Set, open_set
from trainer.evaluation.examples import Example, OpenQuestion
from trainer.evaluation.prompts import Asker, Demonstrations

SHOTS = tuple(f"demonstration {letter}" for letter in "abcdefgh")


def text_of(tokens) -> str:
    return bytes(int(token) - 1 for token in tokens if token).decode()


def example(number: int) -> Example:
    return Example(number, "made.jsonl", number + 1, {})


@pytest.fixture
def one(tmp_path) -> Set:
    """40 questions, 8 demonstrations."""
    records = [RECORD | {"q": f"Who is {number}?"} for number in range(48)]
    for name, part in (("made", records[:40]), ("more", records[40:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in part))
    return open_set("made", made_catalogue(tmp_path), str(tmp_path))


def test_draws_are_by_hash_differ_by_example_and_draw_and_show_each_once():
    drawn = [Demonstrations(SHOTS, 3, draw).of(example(number)) for draw in range(4) for number in range(50)]
    assert all(len(set(shown)) == 3 for shown in drawn)
    assert len({tuple(shown) for shown in drawn}) > 100
    assert drawn[:50] == [Demonstrations(tuple(reversed(SHOTS)), 3, 0).of(example(number)) for number in range(50)]
    assert Demonstrations(SHOTS, 99).of(example(0)) == sorted(SHOTS, key=Demonstrations(SHOTS, 99).of(example(0)).index)
    counts = [sum(letter in shown for shown in drawn) for letter in SHOTS]
    assert all(45 < count < 105 for count in counts)


def test_a_prompt_is_document_start_demonstrations_with_an_empty_line_after_each_and_the_question(one):
    model = Scripted()
    run(model, one, Asking(("2",)))
    request = model.asked[0]
    shown = Demonstrations(one.demonstrations, 2).of(one.examples[0])
    assert text_of(request.tokens) == f"{shown[0]}\n\n{shown[1]}\n\nQ: Who is 0?\nA: he"
    assert text_of(request.tokens[request.start :]) == " he"
    assert (int(request.tokens[0]), int((request.tokens == 0).sum())) == (0, 1)


@pytest.mark.parametrize(
    ("context", "kept", "truncated"),
    [(59, 2, False), (58, 1, False), (39, 1, False), (38, 0, False), (19, 0, False), (18, 0, True)],
)
def test_demonstrations_are_dropped_whole_then_the_question_loses_its_beginning(one, context, kept, truncated):
    model = Scripted(context=context)
    question = one.reader.question(one.examples[0])
    shots = Demonstrations(("x" * 18, "y" * 18), 2)
    (asked,) = Asker(model, shots).ask([(one.examples[0], question)])
    assert (asked.demonstrations, asked.dropped, asked.truncated) == (kept, 2 - kept, truncated)
    longest = asked.requests[1]
    assert text_of(longest.tokens).endswith(text_of(longest.tokens[longest.start :]))
    assert text_of(longest.tokens[longest.start :]) == " she"
    assert all(len(request.tokens) <= context + 1 for request in asked.requests)
    assert len(longest.tokens) == context + 1 or not truncated
    if kept == 1:  # the nearest stays
        assert text_of(longest.tokens).startswith(Demonstrations(shots.texts, 2).of(one.examples[0])[1])


def test_an_option_longer_than_the_context_is_scored_by_its_end(one):
    (asked,) = Asker(Scripted(context=2), Demonstrations()).ask(
        [(one.examples[0], one.reader.question(one.examples[0]))]
    )
    assert [text_of(request.tokens[request.start :]) for request in asked.requests] == ["he", "he", "it"]


def test_a_prompt_leaves_room_for_the_answer():
    (asked,) = Asker(Scripted(context=20), Demonstrations(), most_tokens=5, stop=("\n",)).ask(
        [(example(0), OpenQuestion("Q: a rather long question\nA:", " b", ("b",)))]
    )
    (request,) = asked.requests
    assert (len(request.tokens), asked.truncated, text_of(request.tokens)) == (
        15,
        True,
        "ng question\nA:"[-15:].rjust(15, "o"),
    )


def test_few_is_the_tasks_own_number_and_draws_give_mean_and_spread(one):
    model = Scripted(lambda purpose: 0.0 if purpose.option == 1 else -1.0)
    found = run(model, one, Asking(("0", "1", "few"), draws=3))
    assert [(entry.shots, entry.draws) for entry in found.values()] == [(0, 1), (1, 3), (8, 3)]
    assert [entry.figure.deviation for entry in found.values()] == [None, 0, 0]
    assert len(model.asked) == 40 * 3 * 7


@pytest.mark.usefixtures("one")
def test_a_task_without_data_or_demonstrations_has_no_result(tmp_path):
    assert run(Scripted(), open_set("made", made_catalogue(tmp_path), str(tmp_path / "none"))) == {}
    (tmp_path / "more.jsonl").unlink()
    alone = open_set("made", made_catalogue(tmp_path), str(tmp_path))
    assert list(run(Scripted(), alone, Asking(("0", "1")))) == ["0"]


def test_answers_are_kept_and_a_larger_limit_asks_for_the_rest_only(tmp_path, one):
    folder = str(tmp_path / "evaluation")
    first = Scripted()
    some = open_set("made", made_catalogue(tmp_path), str(tmp_path), limit=10)
    assert run(first, some, records=folder)["0"].figure.n == 10
    second = Scripted()
    whole = run(second, one, records=folder)["0"]
    assert (len(first.asked), len(second.asked)) == (30, 90)
    third = Scripted()
    assert run(third, one, records=folder)["0"] == whole
    assert third.asked == []
    assert {request.purpose.place for request in first.asked}.isdisjoint(r.purpose.place for r in second.asked)


def test_a_stopped_evaluation_goes_on_after_the_last_whole_answer(tmp_path, one):
    folder = tmp_path / "evaluation"
    whole = run(Scripted(), one, records=str(folder))["0"]
    (path,) = folder.rglob("*.jsonl")
    lines = path.read_text().splitlines(True)
    path.write_text("".join(lines[:11]) + lines[11][:20])
    model = Scripted()
    assert run(model, one, records=str(folder))["0"] == whole
    assert len(model.asked) == 3 * 30
    assert sorted(path.read_text().splitlines()) == sorted(line.rstrip("\n") for line in lines)


def test_other_rules_for_scores_ask_for_nothing(tmp_path, one):
    folder = str(tmp_path / "evaluation")
    run(Scripted(), one, records=folder)
    toml = (
        Path(tmp_path, "tasks", "made.toml").read_text()
        + "metrics = ['accuracy', 'macro_f1']\nnormalization = 'none'\n"
    )
    model = Scripted()
    found = run(model, open_set("made", made_catalogue(tmp_path, toml), str(tmp_path)), records=folder)["0"]
    assert (set(found.metrics), model.asked) == ({"accuracy", "macro_f1"}, [])


@pytest.mark.parametrize("change", ["weights", "task", "data", "shots"])
def test_answers_of_other_weights_tasks_or_data_are_not_taken(tmp_path, one, change):
    folder = str(tmp_path / "evaluation")
    run(Scripted(), one, records=folder)
    model, asking = Scripted(), Asking(("1",) if change == "shots" else ("0",))
    if change == "weights":
        model.identity = "others"
    if change == "task":
        toml = Path(tmp_path, "tasks", "made.toml")
        one = open_set("made", made_catalogue(tmp_path, toml.read_text().replace("Q: ", "Question: ")), str(tmp_path))
    if change == "data":
        with (tmp_path / "made.jsonl").open("a") as file:
            file.write("\n")
        one = open_set("made", made_catalogue(tmp_path), str(tmp_path))
    run(model, one, asking, records=folder)
    assert len(model.asked) == 3 * 40


def test_dirty_examples_are_counted_and_the_others_scored_apart(one):
    dirty = {("made.jsonl", line): line <= 10 for line in range(1, 41)}
    model = Scripted(lambda purpose: 0.0 if purpose.option == (0 if purpose.place[1] <= 10 else 1) else -1.0)
    found = run(model, one, dirty={"made": dirty})["0"]
    assert (found.figure.score, found.dirty, found.clean.score, found.clean.n) == (75, 10, 100, 30)
    assert run(model, one, dirty={})["0"].dirty is None
