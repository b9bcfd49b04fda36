"""Switchboard: transcripts without what transcribers added."""

import io
import zipfile

import pytest

from pipelines.sources.dialogues.switchboard import SwitchboardReader


def archive(**members: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name, content in members.items():
            made.writestr(f"train/{name}.txt", content)
        made.writestr("README.md", "no conversation")
    return file.getvalue()


def test_real_conversations(corpus, tally):
    path = corpus / "conversations/switchboard/swda-text.zip"
    records = {record.native_key: record for record in SwitchboardReader().read(str(path))}
    assert tally(records.values()) == {"used": 963}
    assert (
        records["2229"]
        .outcome.texts[0]
        .text.startswith(
            "A: Do are you on a regular exercise program right now?\nB: Yes, and I hate it How about you?\nA: Oh, well,"
        )
    )
    assert not [mark for r in records.values() for mark in "<>*#{}[]|" if mark in r.outcome.texts[0].text]
    assert sum(record.raw_bytes for record in records.values()) == 7_095_783


@pytest.mark.parametrize(
    ("utterance", "text"),
    [
        ("Oh, sure <laughter>.", "Oh, sure."),
        ("absolutely worthless. *listen; agree is probably degree", "absolutely worthless."),
        ("{F Uh, } [ I, + I ] think so. /", "Uh, I, I think so."),
        ("dress code is very, very (( )).", "dress code is very, very."),
        ("people   in this country.", "people in this country."),
        ("either|or", "either|or"),
    ],
)
def test_what_transcribers_added(write, utterance, text):
    (record,) = SwitchboardReader().read(write(f"A|{utterance}|sd\n".encode()))
    assert record.outcome.texts[0].text == f"A: {text}"
    assert record.native_key == ""  # the name of a plain file decides nothing


def test_utterances_of_a_speaker_are_one_turn(write):
    content = archive(sw1="A|Yes,|ny\nA|it is.|sd\n\nB|<noise>|x\nA|Really.|sd\nB|Oh.|b\n")
    readme, record = SwitchboardReader().read(write(content))
    assert readme.outcome.reason == "other_member"
    assert record.native_key == "sw1"
    assert record.outcome.texts[0].text == "A: Yes, it is. Really.\nB: Oh."


def test_broken_conversations_cost_themselves_alone(write, tally):
    content = archive(one="A|Yes.|ny\n", two="A|Yes.|ny\nno bars", three="A|Y\u00e9s.|ny\n", four="A|<noise>|x\n")
    broken = content.replace("Y\u00e9s".encode(), b"Y\xe9\xe9s")  # the checksum no longer holds
    records = list(SwitchboardReader({"max_record_bytes": 30}).read(write(broken)))
    assert tally(records) == {"used": 1, "!bad_fields": 1, "!damaged_zip": 1, "no_text": 1, "other_member": 1}
    assert tally(SwitchboardReader({"max_record_bytes": 12}).read(write(content)))["too_large"] == 1
    assert tally(SwitchboardReader().read(write(b"A|Y\xe9s.|ny\n"))) == {"!bad_encoding": 1}
    assert tally(SwitchboardReader().read(write(content[:-30]))) == {"!bad_zip": 1}


def test_member_that_swells_is_left(write, tally):
    file = io.BytesIO(archive(one="A|Yes.|ny\n"))
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as made:
        made.writestr("bomb.txt", bytes(65 << 20))
    counts = tally(SwitchboardReader().read(write(file.getvalue())))
    assert counts == {"used": 1, "!decompression_bomb": 1, "other_member": 1}
