"""Decompression gives the bytes back, and behind damage goes on at the next member."""

import bz2
import gzip
import io
import lzma

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.decompression import Damage, MemberStart, decompressed

COMPRESS = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "zstd": zstandard.compress,
    "xz": lzma.compress,
    "plain": bytes,
}
COMPRESSED = ["gzip", "bzip2", "zstd", "xz"]
TEXT = b"".join(b"line %d of a text that is to be compressed\n" % n for n in range(400))


def read(data: bytes):
    events = list(decompressed(io.BytesIO(data)))
    content = b"".join(event for event in events if isinstance(event, bytes))
    starts = [event.offset for event in events if isinstance(event, MemberStart)]
    return content, starts, [event.reason for event in events if isinstance(event, Damage)]


@pytest.mark.parametrize("name", COMPRESS)
@given(st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=4))
def test_members_are_joined(name, contents):
    members = [COMPRESS[name](b"x" + content) for content in contents]
    content, starts, damages = read(b"".join(members))
    assert content == b"".join(b"x" + content for content in contents)
    assert damages == []
    if name != "plain":
        assert starts == [sum(map(len, members[:n])) for n in range(len(members))]


@pytest.mark.parametrize("name", COMPRESSED)
def test_truncated_file_keeps_its_sound_members(name):
    members = [COMPRESS[name](TEXT), COMPRESS[name](TEXT)]
    content, _, damages = read(b"".join(members)[:-9])
    assert content.startswith(TEXT)
    assert damages == [f"truncated_{name}"]


@pytest.mark.parametrize("name", ["gzip", "bzip2"])  # a zstd frame has no checksum unless asked for
@pytest.mark.parametrize("where", [0.3, 0.5, 0.9])
def test_flipped_byte_costs_one_member(name, where):
    members = [bytearray(COMPRESS[name](TEXT)) for _ in range(3)]
    members[1][int(len(members[1]) * where)] ^= 0x55
    content, starts, damages = read(b"".join(members))
    assert content.startswith(TEXT)
    assert content.endswith(TEXT)
    assert len(damages) == 1
    assert starts == [0, len(members[0]), len(members[0]) + len(members[1])]


@pytest.mark.parametrize("name", ["gzip", "bzip2"])
@pytest.mark.parametrize(("damaged", "lost"), [(0, False), (1, True)])
def test_damage_behind_which_nothing_is_found_has_lost_the_rest(name, damaged, lost):
    members = [bytearray(COMPRESS[name](TEXT)) for _ in range(2)]
    members[damaged][len(members[damaged]) // 2] ^= 0x55
    (damage,) = (event for event in decompressed(io.BytesIO(b"".join(members))) if isinstance(event, Damage))
    assert damage.rest_is_lost is lost


@pytest.mark.parametrize("name", COMPRESSED)
def test_garbage_between_members_is_told_and_passed(name):
    member = COMPRESS[name](TEXT)
    content, starts, damages = read(member + b"garbage, no member" * 7000 + member)
    assert content == TEXT + TEXT
    assert damages == [f"damaged_{name}"]
    assert starts[-1] == len(member) + 18 * 7000


@pytest.mark.parametrize("name", COMPRESSED)
def test_little_is_held_of_a_member_that_swells(name):
    events = decompressed(io.BytesIO(COMPRESS[name](bytes(30 << 20))))
    sizes = [len(event) for event in events if isinstance(event, bytes)]
    assert sum(sizes) == 30 << 20
    assert max(sizes) < 6 << 20


@pytest.mark.parametrize("name", COMPRESSED)
def test_decompression_bomb_is_left_and_the_next_member_read(name):
    bomb, member = COMPRESS[name](bytes(80 << 20)), COMPRESS[name](TEXT)
    content, starts, damages = read(member + bomb + member)
    assert damages == ["decompression_bomb"]
    assert starts == [0, len(member), len(member) + len(bomb)]
    assert content.strip(b"\0") == TEXT + bytes(content.count(0)) + TEXT
    assert 64 << 20 <= content.count(0) < 72 << 20


def test_skippable_frames_of_zstandard_hold_no_text():
    skippable = b"\x5e\x2a\x4d\x18" + (300).to_bytes(4, "little") + bytes(300)
    member = COMPRESS["zstd"](TEXT)
    content, starts, damages = read(skippable + member + skippable * 2 + member + skippable)
    assert (content, damages) == (TEXT * 2, [])
    assert starts == [308, 308 + len(member) + 616]


def test_zero_padding_after_a_member_is_no_damage():
    member = gzip.compress(TEXT)
    assert read(member + bytes(100_000)) == (TEXT, [0], [])
    assert read(member + bytes(512) + member)[2] == []


def test_the_content_decides_not_the_name(tmp_path):
    path = tmp_path / "plain.gz"
    path.write_bytes(TEXT)
    with path.open("rb") as file:
        assert b"".join(e for e in decompressed(file) if isinstance(e, bytes)) == TEXT


def test_empty_file_has_no_events():
    assert list(decompressed(io.BytesIO())) == []


def test_a_failing_disk_is_not_taken_for_damage():
    class Failing(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > 20:
                raise OSError(5, "Input/output error")
            return super().read(min(size, 32))

    with pytest.raises(OSError, match="Input/output"):
        list(decompressed(Failing(gzip.compress(TEXT))))
