from __future__ import annotations

import pytest

from pipelines.store.configuration import ConfigError, Settings
from trainer.json_lines import read_json_lines


class Line(Settings):
    prompt: str
    answer: str


def test_blank_lines_are_passed_over_and_texts_come_as_they_are(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_bytes('\ufeff{"prompt": "a\\n\u2028", "answer": " b "}\n\n{"answer": "", "prompt": "é"}'.encode())
    assert read_json_lines(str(path), Line) == [Line(prompt="a\n\u2028", answer=" b "), Line(prompt="é", answer="")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"prompt": "a"}', "lines.jsonl: line 2: answer: Field required"),
        ('{"prompt": 3, "answer": "b"}', r"line 2: prompt: Input should be a valid string \(given: 3\)"),
        ('{"prompt": "a", "answer": "b", "answr": "c"}', "line 2: answr: there is no such key"),
        ('{"prompt": "a", ', "line 2: not JSON"),
        ('["a", "b"]', "line 2: no JSON object"),
        ('"\udc80"', "line 2: not JSON"),
    ],
)
def test_a_wrong_line_is_named_with_its_field(tmp_path, line, message):
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"prompt": "a", "answer": "b"}\n' + line.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match=message):
        read_json_lines(str(path), Line)


def test_a_file_without_lines_or_that_is_not_there_is_named(tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(
        ConfigError, match=r"empty\.jsonl: holds no line; write one JSON object a line with prompt, answer"
    ):
        read_json_lines(str(tmp_path / "empty.jsonl"), Line)
    with pytest.raises(ConfigError, match=r"absent\.jsonl: cannot be read"):
        read_json_lines(str(tmp_path / "absent.jsonl"), Line)
