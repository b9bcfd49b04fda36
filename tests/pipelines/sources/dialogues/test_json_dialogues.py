"""Dialogues in JSON: real files dialogue for dialogue; a broken dialogue costs itself alone."""

import gzip
import json
from pathlib import Path

import pytest

from pipelines.sources.decompression import decompressed
from pipelines.sources.dialogues.json_dialogues import (
    JsonDialoguesReader,
    SchemaGuidedReader,
    TaskmasterReader,
    TopicalChatReader,
)
from pipelines.sources.json_items import json_items
from pipelines.sources.scanner import Scanner

SCHEMA_GUIDED = "conversations/schema-guided-dialogue/train-dialogues_028.json.gz"
TASKMASTER = "conversations/taskmaster/TM-4-data_01.json.gz"
TOPICAL_CHAT = "conversations/topical-chat/valid_rare.json.gz"


def lines(turns, speaker: str, text: str) -> str:
    return "\n".join(f"{turn[speaker]}: {' '.join(turn[text].split())}" for turn in turns)


@pytest.mark.parametrize(
    ("reader", "file", "turns", "speaker", "text"),
    [
        (SchemaGuidedReader, SCHEMA_GUIDED, "turns", "speaker", "utterance"),
        (TaskmasterReader, TASKMASTER, "utterances", "speaker", "text"),
        (TopicalChatReader, TOPICAL_CHAT, "content", "agent", "message"),
    ],
)
def test_real_files_dialogue_for_dialogue(corpus, tally, reader, file, turns, speaker, text):
    whole = json.loads(gzip.decompress((corpus / file).read_bytes()))
    if isinstance(whole, list):
        whole = {item.get("dialogue_id") or item.get("conversation_id"): item for item in whole}
    records = list(reader().read(str(corpus / file)))
    assert tally(records) == {"used": len(whole)}
    assert [record.native_key for record in records] == list(whole)
    for record in records[::25]:
        expected = lines(whole[record.native_key][turns], speaker, text)
        assert record.outcome.texts[0].text.split() == expected.split()
        assert record.outcome.texts[0].text.count("\n") == expected.count("\n")


def dialogue(number: int, says: str = "Wie schön!") -> str:
    turns = [{"speaker": "USER", "text": f"{says} {number}"}, {"speaker": "SYSTEM", "text": "Yes,\n  it is."}]
    return json.dumps({"id": f"d{number}", "turns": turns}, ensure_ascii=False)


def array(*items: str) -> bytes:
    return ("[\n" + ",\n".join(items) + "\n]").encode()


@pytest.fixture
def read(write):
    def read(content: bytes, **options):
        return list(JsonDialoguesReader(options).read(write(content)))

    return read


def test_turns_are_lines_and_offsets_point_at_the_dialogues(read):
    content = array(dialogue(1), dialogue(2))
    first, second = read(content)
    assert first.outcome.texts[0].text == "USER: Wie schön! 1\nSYSTEM: Yes, it is."
    for record, written in ((first, dialogue(1)), (second, dialogue(2))):
        assert content[record.offset :][: record.raw_bytes].decode() == written


def test_object_of_dialogues_and_turns_without_speakers(read):
    content = json.dumps({"k1": {"lines": [{"t": "One."}, {"t": " "}, {"t": "Two."}]}, "k2": {"lines": []}}).encode()
    first, second = read(content, id_field="", turns_field="lines", speaker_field="", text_field="t")
    assert (first.native_key, first.outcome.texts[0].text) == ("k1", "One.\nTwo.")
    assert (second.native_key, second.outcome.reason) == ("k2", "no_text")


def test_several_arrays_in_a_row(read, tally):
    assert tally(read(array(dialogue(1)) + b"\n" + array(dialogue(2), dialogue(3)))) == {"used": 3}


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (dialogue(2)[:-1], "!bad_json"),  # its last brace is missing: it would hold all that follow
        (dialogue(2)[:30], "!bad_json"),
        (dialogue(2).replace('"turns"', "turns"), "!bad_json"),
        ('""}]', "!bad_json"),  # as if the array had ended
        ("\0garbage\0", "!bad_json"),
        (dialogue(2).replace('"text"', '"words"'), "!bad_fields"),
        (dialogue(2).replace('"id": "d2"', '"id": null'), "!bad_fields"),
        (dialogue(2).replace('"USER"', "[]"), "!bad_fields"),
        ('{"id": "d2", "turns": "none"}', "!bad_fields"),
        ('{"id": "d2", "turns": [3]}', "!bad_fields"),
        ('{"id": "d2", "turns": ' + "[" * 100_000 + "]" * 100_000 + "}", "!bad_json"),
    ],
)
def test_broken_dialogue_costs_itself_alone(read, tally, broken, reason):
    records = read(array(dialogue(1), broken, dialogue(3), dialogue(4)))
    counts = tally(records)
    assert counts == {"used": 3, reason: 1}
    assert [record.native_key for record in records if record.native_key] == ["d1", "d3", "d4"]


def test_missing_beginning_costs_the_dialogue_that_it_cut(read, tally):
    content = array(dialogue(1), dialogue(2), dialogue(3))
    assert tally(read(content[1:])) == {"used": 3}
    assert tally(read(content[40:])) == {"used": 2, "!bad_json": 1}
    assert tally(read(b"garbage" + content)) == {"used": 3, "!bad_json": 1}


def test_turns_may_begin_like_dialogues(read, tally):
    turns = [{"id": number, "speaker": "A", "text": "x" * 300} for number in range(500)]
    dialogues = {f"d{number}": {"id": number, "turns": turns, "more": {"id": number}} for number in range(3)}
    assert len(json.dumps(turns)) > 1 << 17
    assert tally(read(json.dumps(list(dialogues.values())).encode())) == {"used": 3}
    assert tally(read(json.dumps(dialogues).encode(), id_field="")) == {"used": 3}


def test_bad_bytes_cost_their_dialogue(read, tally):
    content = array(dialogue(1), dialogue(2), dialogue(3)).replace("schön! 2".encode(), b"sch\xf6n! 2")
    assert tally(read(content)) == {"used": 2, "!bad_encoding": 1}


def test_broken_conversation_of_a_real_object_costs_itself_alone(corpus, write, tally):
    data = gzip.decompress((corpus / TOPICAL_CHAT).read_bytes())
    second = data.index(b'"t_', data.index(b'"t_') + 3)
    third = data.index(b'"t_', second + 3)
    end_of_second = data.rindex(b"}", second, third)
    for damage in (data[:end_of_second] + data[end_of_second + 1 :], data[: second + 2000] + data[third:]):
        records = list(TopicalChatReader().read(write(damage)))
        assert tally(records) == {"used": 538, "!bad_json": 1}
        assert damage[records[1].offset :].startswith(data[second : second + 40])


def test_truncated_gzip_keeps_all_dialogues_before_the_cut(corpus, write, tally):
    packed = (corpus / SCHEMA_GUIDED).read_bytes()
    counts = tally(SchemaGuidedReader().read(write(packed[: len(packed) // 2])))
    assert 30 < counts["used"] < 100
    assert counts == {"used": counts["used"], "!truncated_gzip": 1}


def test_next_dialogue_is_found_wherever_it_begins(read, tally):
    broken = dialogue(1)[:30]
    for size in range((1 << 16) - 40, (1 << 16) + 4, 4):  # around the end of what is looked at first
        content = array(broken + "x" * (size - len(broken)) + '"y', dialogue(2))
        assert tally(read(content)) == {"used": 1, "!bad_json": 1}


def test_cut_between_dialogues_is_told(read, tally):
    assert tally(read(array(dialogue(1), dialogue(2))[:-2])) == {"used": 2, "!bad_json": 1}


def test_dialogue_above_the_limit_is_passed_over(read, tally):
    content = array(dialogue(1), dialogue(2, "x" * 300_000), dialogue(3))
    assert tally(read(content, max_record_bytes=200_000)) == {"used": 2, "too_large": 1}
    assert tally(read(content)) == {"used": 3}


@pytest.mark.parametrize("content", [b"hello", b"3", b'"text"', b"[1, 2, 3]", b'{"id": 3}'])
def test_file_that_holds_no_dialogues(read, tally, content):
    counts = tally(read(content))
    assert counts.total() >= 1
    assert set(counts) <= {"!bad_json", "!bad_fields"}


def test_memory_is_that_of_one_dialogue(write):
    path = Path(write(gzip.compress(array(*(dialogue(number, "x" * 20_000) for number in range(1000))))))
    with path.open("rb") as file:
        scanner = Scanner(decompressed(file))
        held = [len(scanner._buffer) for _ in json_items(scanner, 1 << 24)]
    assert len(held) == 1000
    assert max(held) < 3 << 20
