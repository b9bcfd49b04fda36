"""Dialogues of chatterbot-corpus."""

import pytest

from pipelines.sources.dialogues.chatterbot import ChatterbotReader


def test_chatterbot_dialogues(installed, tally):
    paths = installed("package:chatterbot_corpus/data/english/*.yml")
    single = [record for path in paths for record in ChatterbotReader().read(path)]
    assert tally(single) == {"used": 2026}
    joined = list(ChatterbotReader({"entries_per_document": 20}).read(paths[0]))
    assert (
        joined[0].outcome.texts[0].text.startswith("What is AI?\nArtificial Intelligence is the branch of engineering")
    )
    assert joined[0].outcome.texts[0].text.count("\n\n") == 19


def test_turns_are_read_as_they_are_written_and_offsets_point_at_them(write):
    yml = "categories: [ü]\nconversations:\n- - Is it?\n  - Yes\n- - How many?\n  - 007\n"
    first, second = ChatterbotReader().read(write(yml.encode()))
    assert first.outcome.texts[0].text == "Is it?\nYes"
    assert second.outcome.texts[0].text == "How many?\n007"
    assert yml.encode()[second.offset :].startswith(b"- How many?")


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"a: [", "!bad_yaml"), (b"- x", "!bad_fields"), (b"\xff", "!bad_encoding"), (b"", "!bad_fields")],
)
def test_file_that_is_no_dialogue(write, tally, content, reason):
    assert tally(ChatterbotReader().read(write(content))) == {reason: 1}
