"""Faults made in real files: whatever is damaged, every record that was not hit comes out as from the sound file."""

import gzip
from pathlib import Path

import pytest

from pipelines.sources.archive import contents
from pipelines.sources.record import Record, Used
from pipelines.sources.registry import READERS

GARBAGE = b"\x00\xff<garbage>\xfe{[ no record ]}" * 300

# format: reader, file, bytes of it that are read, what stands at the start of a record
FORMATS = {
    "warc": ("warc", "web/crawl-samples/dolma-sample-0000.warc.gz", 400_000, b"WARC/1.0\r\n"),
    "wet": ("warc", "web/crawl-samples/common-crawl-2016-25docs.wet.gz", 330_280, b"WARC/1.0\r\n"),
    "mediawiki": ("mediawiki", "wikipedia/frwiki-minidump.xml.bz2", 156_255, b"<page>"),
    "jsonl": ("jsonl", "web/ccnet/cc_en_head-0091.jsonl.gz", 105_284, b'{"'),
    "reuters": ("reuters", "news/reuters21578/reut2-000.sgm.gz", 60_000, b"<REUTERS"),
    "schema_guided": (
        "schema_guided", "conversations/schema-guided-dialogue/train-dialogues_028.json.gz", 300_000, b"{",
    ),
    "topical_chat": ("topical_chat", "conversations/topical-chat/valid_rare.json.gz", 100_000, b'"t_'),
    "irc": ("irc", "conversations/ubuntu-irc/ubuntu-irc-raw.zip", 77_237, b"["),
}  # fmt: skip
EVERY = pytest.mark.parametrize("name", FORMATS)
# Conversations of a log are cut by size, so that what is lost of one moves the cuts of those behind it: test_irc.py.
BUT_LOGS = pytest.mark.parametrize("name", sorted(set(FORMATS) - {"irc"}))


class Sound:
    """The beginning of a real file, decompressed, and its records, of which the last may be cut."""

    def __init__(self, corpus: Path, folder: Path, name: str) -> None:
        reader, file, size, self.start = FORMATS[name]
        with (corpus / file).open("rb") as opened:
            self.data = next(contents(opened)).scanner.read(size)
        self.path = folder / "file"
        self.reader = READERS[reader]({})
        self.records = [record for record in self.read(self.data) if isinstance(record.outcome, Used)]
        assert len(self.records) > 1

    def read(self, data: bytes) -> list[Record]:
        self.path.write_bytes(data)
        return list(self.reader.read(str(self.path)))

    def lost(self, records: list[Record]) -> int:
        """Count the sound records that are not among others, by key and text."""
        found = {(record.native_key, record.outcome) for record in records if isinstance(record.outcome, Used)}
        return sum((record.native_key, record.outcome) not in found for record in self.records)


@pytest.fixture(scope="module")
def sound(corpus, tmp_path_factory):
    made: dict[str, Sound] = {}

    def get(name: str) -> Sound:
        if name not in made:
            made[name] = Sound(corpus, tmp_path_factory.mktemp(name), name)
        return made[name]

    return get


@EVERY
@pytest.mark.parametrize("share", [0.21, 0.5, 0.83])
def test_cut_file_keeps_every_record_before_the_cut(sound, tally, name, share):
    real = sound(name)
    cut = int(len(real.data) * share)
    for data in (real.data[:cut], gzip.compress(real.data[:cut], 1)[:-8]):
        records = real.read(data)
        whole = [record for record in real.records if record.offset + record.raw_bytes + len("\r\n\r\n") <= cut]
        used = [record for record in records if isinstance(record.outcome, Used)]
        assert used[: len(whole)] == whole
        assert len(used) <= len(whole) + 1
        assert sum(record.raw_bytes for record in records) <= cut
    assert tally(records)["!truncated_gzip"] == 1


@BUT_LOGS
def test_garbage_between_two_records_is_counted_and_costs_no_more_than_one(sound, tally, name):
    real = sound(name)
    place = real.records[len(real.records) // 2].offset
    records = real.read(real.data[:place] + GARBAGE + real.data[place:])
    assert real.lost(records) == (1 if name == "jsonl" else 0)  # it joins the line that follows
    assert sum(count for reason, count in tally(records).items() if reason[0] == "!") >= 1
    assert sum(record.raw_bytes for record in records) >= sum(r.raw_bytes for r in real.records) + len(GARBAGE)


@BUT_LOGS
def test_garbage_within_a_record_costs_that_record(sound, name):
    real = sound(name)
    hit = real.records[len(real.records) // 2]
    place = hit.offset + hit.raw_bytes // 2
    assert real.lost(real.read(real.data[:place] + GARBAGE + real.data[place + 100 :])) == 1


@BUT_LOGS
def test_bad_utf8_byte_costs_its_record_alone(sound, name):
    real = sound(name)
    hit = real.records[1]
    place = real.data.index(b" ", hit.offset + hit.raw_bytes // 2)
    assert place < hit.offset + hit.raw_bytes
    assert real.lost(real.read(real.data[:place] + b"\xe9\xff" + real.data[place:])) == 1


@pytest.mark.parametrize("name", ["warc", "wet", "jsonl", "reuters"])
def test_missing_beginning_costs_the_record_that_it_cut(sound, name):
    real = sound(name)
    first = real.records[0]
    assert real.lost(real.read(real.data[first.offset + first.raw_bytes // 2 :])) == 1


@pytest.mark.parametrize("name", ["warc", "wet", "mediawiki", "jsonl"])
def test_decompression_bomb_between_members_costs_nothing_else(sound, tally, name):
    real = sound(name)
    place = real.records[len(real.records) // 2].offset
    bomb = gzip.compress(bytes(66 << 20))
    records = real.read(gzip.compress(real.data[:place]) + bomb + gzip.compress(real.data[place:]))
    assert real.lost(records) == 0
    assert tally(records)["!decompression_bomb"] == 1


@BUT_LOGS
def test_record_above_the_limit_costs_itself(sound, tally, name):
    real = sound(name)
    *_, limit, largest = sorted({record.raw_bytes for record in real.records})
    real.path.write_bytes(real.data)
    records = list(type(real.reader)({"max_record_bytes": limit}).read(str(real.path)))
    above = sum(record.raw_bytes == largest for record in real.records)
    assert tally(records)["too_large"] >= above
    assert above <= real.lost(records) <= 2 * above  # a size told in a header leaves out the header
