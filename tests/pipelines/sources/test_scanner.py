"""The scanner reads as if the blocks were one string of bytes, wherever they are divided."""

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.decompression import Damage, MemberStart
from pipelines.sources.scanner import Scanner

CONTENT = st.text("ab\n<>", max_size=60).map(str.encode)


def blocks(content: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]
    return [content[a:b] for a, b in pairwise(places)]


@given(CONTENT, st.lists(st.integers(0, 60)), st.integers(1, 20))
def test_lines_are_those_of_the_whole(content, cuts, limit):
    scanner = Scanner(blocks(content, cuts))
    lines = []
    while not scanner.at_end():
        line = scanner.read_line(limit)
        assert len(line) <= limit
        lines.append(line)
    assert b"".join(lines) == content
    if limit == 20:
        whole = [line for line in content.splitlines(keepends=True) if len(line) <= limit]
        assert [line for line in whole if line not in lines] == []


@given(CONTENT, st.lists(st.integers(0, 60)))
def test_skip_to_finds_what_a_search_of_the_whole_finds(content, cuts):
    scanner = Scanner(blocks(content, cuts))
    found = re.search(rb"<a\n?>", content)
    assert scanner.skip_to(re.compile(rb"<a\n?>"), 4) == (found.start() if found else len(content))
    assert scanner.read(100) == (content[found.start() :] if found else b"")


@given(CONTENT, st.lists(st.integers(0, 60)))
def test_read_until_ends_behind_the_first_match(content, cuts):
    scanner = Scanner(blocks(content, cuts))
    head, mark, _ = content.partition(b"b>")
    assert scanner.read_until(b"b>", 1000) == head + mark
    assert scanner.offset == len(head + mark)


def test_damage_stops_reading_until_it_is_taken():
    scanner = Scanner([b"one ", Damage("damaged_gzip", "here"), b"two"])
    assert scanner.read(100) == b"one "
    assert not scanner.at_end()
    assert scanner.read(100) == b""
    assert scanner.take_damage() == Damage("damaged_gzip", "here")
    assert scanner.take_damage() is None
    assert scanner.read(100) == b"two"
    assert scanner.at_end()


def test_offsets_are_those_of_members_where_a_record_begins_one():
    scanner = Scanner([MemberStart(0), b"0123", MemberStart(77), b"4567"])
    assert scanner.offset == 0
    scanner.read(2)
    assert scanner.offset == 2
    scanner.skip(2)
    assert scanner.offset == 77
    scanner.push_back(b"23")
    assert scanner.read(4) == b"2345"
    assert scanner.offset == 6


def test_searching_at_every_short_record_buffers_no_more_than_a_few_blocks():
    block = b"<a>record\n" * 500
    scanner = Scanner([block] * 200)
    largest = records = 0
    while not scanner.at_end():
        assert scanner.skip_to(re.compile(b"<a>"), 20) == 0
        scanner.push_back(scanner.read_line(100)[:5])
        scanner.skip(5)
        records += 1
        largest = max(largest, len(scanner._buffer))
    assert records == 100_000
    assert largest <= 2 * len(block)
