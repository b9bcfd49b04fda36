"""IRC logs: messages and actions in, the system's lines and bots counted out, cut by silence and size."""

import re
import zipfile

import pytest

from pipelines.sources.dialogues.irc import IrcReader

LOG = """[07:35] <ann> hello
=== joe has joined #channel
[07:35]  * joe waves
[07:36] <@joe>  hi   ann
[07:36] <ubottu> joe: a fact
[07:36] -joe:#channel- a notice
[07:37] <ann> \x0304,02red\x03 and blue
"""


def text_of(record) -> str:
    return record.outcome.texts[0].text


def test_lines(write):
    (record,) = IrcReader().read(write(LOG.encode()))
    assert text_of(record) == "ann: hello\n* joe waves\njoe: hi ann\nann: red and blue"
    assert sorted(record.outcome.notes) == ["bot_line", "system_line", "system_line"]
    (record,) = IrcReader({"bots": ["joe"]}).read(write(LOG.encode()))
    assert text_of(record) == "ann: hello\nubottu: joe: a fact\nann: red and blue"


def test_real_logs_message_for_message(corpus, tally):
    path = corpus / "conversations/ubuntu-irc/ubuntu-irc-raw.zip"
    records = list(IrcReader().read(str(path)))
    assert set(tally(records)) == {"used"}
    assert sum(record.raw_bytes for record in records) == 16_213_159
    with zipfile.ZipFile(path) as archive:
        lines = [line for name in archive.namelist() for line in archive.read(name).decode().split("\n")]
    said = re.compile(r"\[\d\d:\d\d\] (?:<(?!ubottu|ubotu|ubot3|FloodBot)[^>]+>|\x20\* \S+) *[^ \x03]")
    kept = "\n".join(map(text_of, records)).split("\n")
    assert abs(len(kept) - sum(bool(said.match(line)) for line in lines)) < 30  # lines of color codes alone
    notes = [note for record in records for note in record.outcome.notes]
    assert notes.count("bot_line") == sum(bool(re.match(r"\S+ <(ubot|FloodBot\d)[tu0-9]*>", line)) for line in lines)
    assert {record.outcome.texts[0].date for record in records} >= {"2004-11-15", "2018-02-27"}
    assert max(record.raw_bytes for record in records) < 34_000


def test_garbage_in_a_real_log_costs_the_lines_that_it_hit(corpus, write):
    with zipfile.ZipFile(corpus / "conversations/ubuntu-irc/ubuntu-irc-raw.zip") as archive:
        data = archive.read("dev/2004-11-15_03.raw.txt")
    sound = "\n".join(map(text_of, IrcReader().read(write(data)))).split("\n")
    for place in (0, len(data) // 2, len(data)):
        records = IrcReader().read(write(data[:place] + b"\x00\xff[99:99] <garbage>" * 50 + data[place:]))
        found = "\n".join(map(text_of, records)).split("\n")
        assert sum(line not in found for line in sound) <= 1


def log(*times: str) -> bytes:
    return "".join(f"[{time}] <a> at {time}\n" for time in times).encode()


@pytest.mark.parametrize(
    ("times", "conversations"),
    [
        (["10:00", "10:29", "10:58"], 1),
        (["10:00", "10:30", "11:00"], 3),
        (["23:50", "00:10"], 1),
        (["23:30", "00:10"], 2),
        (["12:59", "01:00"], 1),  # a clock of twelve hours
        (["10:20", "10:00"], 1),  # a clock that was set back
        (["22:00", "09:00"], 2),
    ],
)
def test_conversations_end_before_a_silence(write, times, conversations):
    records = list(IrcReader().read(write(log(*times))))
    assert len(records) == conversations
    assert "\n".join(map(text_of, records)).count("a: at") == len(times)


def test_conversations_end_after_a_size_and_all_bytes_are_in_one(write, tally):
    content = log(*["10:00"] * 1000) + LOG.encode()
    records = list(IrcReader({"document_bytes": 2000}).read(write(content)))
    assert tally(records).total() == len(records) > 8
    ends = [record.offset + record.raw_bytes for record in records]
    assert [0, *ends[:-1]] == [record.offset for record in records]
    assert ends[-1] == len(content)


def test_what_is_no_log(write, tally):
    assert tally(IrcReader().read(write(b"Some prose.\nMore of it.\n"))) == {"!bad_fields": 1}
    assert tally(IrcReader().read(write(b"=== joe has joined\n"))) == {"no_text": 1}
    assert tally(IrcReader().read(write(b""))) == {}


def test_old_encodings_and_long_lines(write, tally):
    (record,) = IrcReader().read(write("[10:00] <a> gr\u00fc\u00dfe\n".encode("cp1252")))
    assert text_of(record) == "a: gr\u00fc\u00dfe"
    assert record.outcome.notes == ("fallback_encoding",)
    content = log("10:00") + b"[10:01] <a> " + b"x" * 500 + b"\n" + log("10:02")
    assert tally(IrcReader({"max_record_bytes": 100}).read(write(content))) == {"used": 2, "too_large": 1}
