"""WinoGender and CrowS-Pairs: what counts as a stereotype, and how far apart the halves are."""

from __future__ import annotations

import csv
import gzip
import shutil
from pathlib import Path

import pytest

from pipelines.contamination.evaluation_records import EvaluationSetError
from tests.trainer.evaluation.scripted import CONFIGS, Scripted, catalogue, choosing, guessing, real_set, real_sets, run
from trainer.evaluation.evaluate import open_set
from trainer.evaluation.task import Catalogue

PRONOUNS = {"male": ("he", "his", "him"), "female": ("she", "her", "her"), "neutral": ("they", "their", "them")}


def templates() -> list[tuple[str, str, int, str]]:
    """Return (occupation, participant, answer, sentence) of the owners' templates."""
    with gzip.open(Path(real_sets(), "winogender.templates.tsv.gz"), "rt", encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    return [(row[0], row[1], int(row[2]), row[3]) for row in rows[1:]]


def test_answers_and_pronouns_are_those_of_the_owners_templates():
    by_key = {(row[0], row[1], row[2]): row[3] for row in templates()}
    one = real_set("winogender")
    marks = ("$NOM_PRONOUN", "$POSS_PRONOUN", "$ACC_PRONOUN")
    for example in one.examples:
        occupation, participant, answer, gender, _ = example.values["id"].split(".")
        question = one.reader.question(example)
        assert question.gold == (int(answer),)
        assert question.continuations[0] == f" the {occupation}"
        assert question.continuations[1] in (f" the {participant}", " someone")
        template = next(
            text
            for (first, other, right), text in by_key.items()
            if (first, str(right)) == (occupation, answer) and participant in (other, "someone")
        )
        (pronoun,) = [word for mark, word in zip(marks, PRONOUNS[gender], strict=True) if mark in template]
        assert question.contexts[0].endswith(f"\n'{pronoun.capitalize()}' refers to")


def test_gotchas_are_what_the_statistics_do_not_expect():
    one = real_set("winogender")
    groups = {example.values["id"]: one.reader.groups(example)["stereotype"] for example in one.examples}
    assert groups["technician.customer.0.male.txt"] == "stereotypical"  # 40 % women; he is the technician
    assert groups["technician.customer.0.female.txt"] == "gotcha"
    assert groups["technician.customer.1.female.txt"] == "stereotypical"  # she is the customer
    assert groups["technician.customer.1.male.txt"] == "gotcha"
    assert groups["technician.customer.1.neutral.txt"] == "neutral"
    assert sorted(map(list(groups.values()).count, ("stereotypical", "gotcha", "neutral"))) == [192, 192, 192]


def test_the_gap_of_a_model_that_follows_stereotypes_is_told_with_its_interval():
    one = real_set("winogender")
    places = {(example.file, example.line, example.number): example for example in one.examples}

    def stereotyped(purpose) -> float:
        example = places[purpose.place]
        right = one.reader.question(example).gold[0]
        wanted = 1 - right if one.reader.groups(example)["stereotype"] == "gotcha" else right
        return 0.0 if purpose.option == wanted else -1.0

    found = run(Scripted(stereotyped), one)["0"]
    assert {value: figure.score for value, figure in found.groups["stereotype"].items()} == {
        "stereotypical": 100,
        "gotcha": 0,
        "neutral": 100,
    }
    gap = found.gaps["stereotype"]
    assert (gap.score, gap.low, gap.high) == (100, 100, 100)
    guessed = run(guessing(), one)["0"]
    assert guessed.gaps["stereotype"].low < 0 < guessed.gaps["stereotype"].high
    assert set(guessed.groups["pronoun"]) == {"he", "she", "they"}
    assert guessed.gaps["pronoun"].low < guessed.gaps["pronoun"].score < guessed.gaps["pronoun"].high


def test_a_gap_over_few_examples_has_an_interval_that_can_be_written():
    gaps = run(guessing(), real_set("winogender", 12))["0"].gaps
    assert set(gaps) == {"pronoun", "stereotype"}
    for gap in gaps.values():
        assert -100 <= gap.low <= gap.score <= gap.high <= 100


def test_without_the_statistics_everything_else_is_told(tmp_path):
    shutil.copy(Path(real_sets(), "winogender.test.jsonl.gz"), tmp_path)
    found = run(choosing(0), open_set("winogender", catalogue(), str(tmp_path)))["0"]
    assert (set(found.groups), set(found.gaps), found.figure.score) == ({"pronoun", "answer"}, {"pronoun"}, 50)


def test_a_table_without_the_column_is_named_by_file_and_line(tmp_path):
    known = Catalogue(str(CONFIGS))
    ((name, table),) = known.tasks["winogender"].tables.items()
    shutil.copy(Path(real_sets(), "winogender.test.jsonl.gz"), tmp_path)
    file = tmp_path / Path(table.files[0]).name.removesuffix(".gz")
    file.write_text("work\tshare\nnurse\t90\n")
    task = known.tasks["winogender"].model_copy(
        update={"tables": {name: table.model_copy(update={"files": [str(file)]})}}
    )
    known.tasks["winogender"] = task
    with pytest.raises(
        EvaluationSetError, match=rf"{file}: line \d: there is no {table.column} \(tables\.{name}\.column"
    ):
        open_set("winogender", known, str(tmp_path))


@pytest.mark.parametrize(("option", "share"), [(0, 100), (1, 0), (None, 50)])
def test_crows_pairs_is_the_share_of_stereotypes_preferred(option, share):
    one = real_set("crows_pairs", 300)
    found = run(choosing(option, normalized=False), one)["0"]
    assert (found.figure.score, found.chance) == (share, 50)
    assert all(figure.score == share for figure in found.groups["bias"].values())
