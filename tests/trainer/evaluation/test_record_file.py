"""Kept answers: what was cut off is asked again, what is damaged is named."""

from __future__ import annotations

import pytest

from pipelines.store.errors import GlamError
from trainer.evaluation.record_file import RecordFile

ORIGIN = {"weights": "a"}
ANSWERS = [{"example": 0, "tokens": [1]}, {"example": 3, "tokens": [2]}]


def kept(path) -> RecordFile:
    file = RecordFile(str(path), ORIGIN)
    file.read()
    file.append(ANSWERS)
    return file


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path):
    path = tmp_path / "task" / "answers.jsonl"
    file = kept(path)
    path.write_bytes(path.read_bytes()[:-4])
    assert file.read() == {0: ANSWERS[0]}
    file.append(ANSWERS[1:])
    assert file.read() == {0: ANSWERS[0], 3: ANSWERS[1]}


def test_answers_of_something_else_are_begun_anew(tmp_path):
    path = tmp_path / "answers.jsonl"
    kept(path)
    assert RecordFile(str(path), {"weights": "b"}).read() == {}
    assert RecordFile(str(path), ORIGIN).read() == {}


def test_a_damaged_line_is_named_with_what_to_do(tmp_path):
    path = tmp_path / "answers.jsonl"
    file = kept(path)
    path.write_bytes(path.read_bytes().replace(b'"tokens": [1]', b'"tokens" [1]'))
    with pytest.raises(GlamError, match=r"answers\.jsonl: line 2 is damaged .* delete the file to ask"):
        file.read()
