"""Sets that cannot be handed on, in their owners' formats: made records are read, asked and scored."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.trainer.evaluation.scripted import Scripted, catalogue, choosing, oracle, run
from trainer.evaluation.evaluate import Asking, Set, open_set

STORY = ["Ann was cold.", "She looked for her coat.", "It was gone.", "She went back."]


def opened(name: str, folder: Path) -> Set:
    return open_set(name, catalogue(), str(folder))


def test_storycloze_is_the_owners_table(tmp_path):
    names = ["InputStoryid", *(f"InputSentence{n}" for n in (1, 2, 3, 4))]
    names += ["RandomFifthSentenceQuiz1", "RandomFifthSentenceQuiz2", "AnswerRightEnding"]
    for part in ("test", "val"):
        with (tmp_path / f"cloze_test_{part}__spring2016 - cloze_test_ALL_{part}.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(names)
            rows.writerows([f"{part}{n}", *STORY, 'She found it, "at last".', "She ate.", 1 + n % 2] for n in range(8))
    one = opened("storycloze", tmp_path)
    question = one.reader.question(one.examples[1])
    assert question.contexts[0] == "Ann was cold. She looked for her coat. It was gone. She went back."
    assert (question.continuations, question.gold) == ((' She found it, "at last".', " She ate."), (1,))
    found = run(oracle(one), one, Asking(("0", "few")))
    assert [entry.figure.score for entry in found.values()] == [100, 100]
    assert run(choosing(0), one)["0"].figure.score == 50


def test_quac_is_the_owners_document(tmp_path):
    def turn(number: int, answers: list[str]) -> dict:
        spans = [{"text": text, "answer_start": 0} for text in answers]
        return {"id": f"C_{number}", "question": f"What {number}?", "answers": spans, "orig_answer": spans[0]}

    turns = [turn(0, ["in 1990", "1990"]), turn(1, ["CANNOTANSWER", "CANNOTANSWER", "no"]), turn(2, ["Ann"])]
    paragraph = {"id": "C", "context": "Ann was born in 1990. CANNOTANSWER", "qas": turns}
    dialogue = {"title": "Ann", "section_title": "Life", "background": "A singer.", "paragraphs": [paragraph]}
    (tmp_path / "val_v0.2.json").write_text(json.dumps({"data": [dialogue, dialogue]}))
    one = opened("quac", tmp_path)
    assert [(example.line, example.values["index"]) for example in one.examples[:4]] == [(1, 0), (1, 1), (1, 2), (2, 0)]
    last = one.reader.open_question(one.examples[2])
    assert last.context == (
        "Title: Ann, Life\n\nBackground: A singer.\n\nAnn was born in 1990.\n\n"
        "Q: What 0?\nA: in 1990\n\nQ: What 1?\nA: CANNOTANSWER\n\nQ: What 2?\nA:"
    )
    found = run(oracle(one), one)["0"]
    assert (found.metrics["f1"].score, found.figure.n) == (100, 6)


@pytest.fixture
def stereoset(tmp_path) -> Path:
    labels = ("stereotype", "unrelated", "anti-stereotype")
    entries = [
        {
            "id": str(number),
            "target": f"target {number % 4}",
            "bias_type": ("gender", "race")[number % 2],
            "context": f"He is number {number}.",
            "sentences": [
                {"id": f"{number} {label}", "sentence": f"He is {label} {number}.", "gold_label": label, "labels": []}
                for label in labels
            ],
        }
        for number in range(40)
    ]
    data = {"intrasentence": entries, "intersentence": entries}
    (tmp_path / "stereoset.dev.json").write_text(json.dumps({"version": "1.1", "data": data}))
    return tmp_path


@pytest.mark.parametrize(
    ("option", "stereotypes", "meaningful", "icat"), [(1, 100, 75, 0), (0, 0, 75, 0), (2, 50, 0, 0), (None, 50, 50, 50)]
)
@pytest.mark.parametrize("name", ["stereoset_intrasentence", "stereoset_intersentence"])
def test_stereoset(stereoset, name, option, stereotypes, meaningful, icat):
    one = opened(name, stereoset)
    found = run(choosing(option), one)["0"]
    scores = {metric: figure.score for metric, figure in found.metrics.items()}
    assert scores == {"ss": stereotypes, "lms": meaningful, "icat": icat}
    assert (found.chance, set(found.groups["bias"])) == (50, {"gender", "race"})


def test_a_model_without_stereotypes_has_an_ideal_score(stereoset):
    one = opened("stereoset_intersentence", stereoset)
    places = {(example.file, example.line, example.number): example.number for example in one.examples}

    def even_handed(purpose) -> float:
        return -3.0 if purpose.option == 2 else -1.0 if purpose.option == places[purpose.place] % 2 else 0.0

    assert run(Scripted(even_handed), one)["0"].figure.score == 100
    question = one.reader.question(one.examples[0])
    assert (question.contexts[0], question.continuations[1]) == ("He is number 0.", " He is stereotype 0.")
