"""Stack Exchange dumps: a question with its answers, however far apart they lie, and broken rows alone lost."""

import bz2
import gzip
import itertools
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.sources.record import Skipped, Used
from pipelines.sources.stack_exchange import StackExchangeReader

SITES = ["beer.stackexchange.com", "matheducators.stackexchange.com"]
FRAME = ('\ufeff<?xml version="1.0" encoding="utf-8"?>\n<posts>\n', "</posts>")


def row(number: int, kind: int = 1, body: str | None = None, **fields) -> str:
    fields = {"Id": number, "PostTypeId": kind, "CreationDate": "2020-01-02T03:04:05.678"} | fields
    attributes = fields | {"Body": f"<p>Post {number}.</p>" if body is None else body}
    return "  <row " + " ".join(f"{name}={quoteattr(str(value))}" for name, value in attributes.items()) + " />\n"


def answer(number: int, question: int, score: int = 0, **fields) -> str:
    return row(number, 2, ParentId=question, Score=score, **fields)


@pytest.fixture
def read(tmp_path):
    def read(*rows: str | bytes, framed: bool = True, **options):
        head, end = FRAME if framed else ("", "")
        content = b"".join(part if isinstance(part, bytes) else part.encode() for part in (head, *rows, end))
        (tmp_path / "Posts.xml").write_bytes(content)
        return list(StackExchangeReader(options).read(str(tmp_path / "Posts.xml")))

    return read


def texts(records):
    return [text.text for record in records for text in getattr(record.outcome, "texts", ())]


@pytest.mark.parametrize("site", SITES)
def test_real_dump_against_an_xml_parser(corpus, tally, site):
    path = corpus / "forums" / site / "Posts.xml.bz2"
    rows = [row.attrib for row in ElementTree.fromstring(bz2.decompress(path.read_bytes()))]
    kinds = Counter(row["PostTypeId"] for row in rows)
    answers = defaultdict(list)
    for each in rows:
        if each["PostTypeId"] == "2":
            answers[each["ParentId"]].append((-int(each["Score"]), int(each["Id"])))
    records = list(StackExchangeReader().read(str(path)))
    assert tally(records) == {
        "used": kinds["1"],
        "joined": kinds["2"],
        "tag_wiki_excerpt": kinds["4"],
        "tag_wiki": kinds["5"],
        "wiki_placeholder": kinds["7"],
    }
    documents = {
        record.native_key: record for record in records if isinstance(record.outcome, Used) and record.outcome.texts
    }
    for each in rows:
        if each["PostTypeId"] == "1":
            (text,) = documents[f"{site} {each['Id']}"].outcome.texts
            assert text.title == " ".join(each["Title"].split())
            assert text.url == f"https://{site}/q/{each['Id']}"
            assert text.date == each["CreationDate"]
            assert text.text.startswith(f"Q: {each['Title'].strip()}")
            assert text.text.count("\n\nA:\n\n") == len(answers[each["Id"]])
    joined = sum(record.raw_bytes for record in records if getattr(record.outcome, "notes", ()) == ("joined",))
    assert joined == sum(record.outcome.joined_bytes for record in documents.values())


def test_document_of_a_question(read):
    code = "<p>Try <code>a &lt; b</code>:</p>\n<pre><code>if a:\n    b()\n</code></pre><ul><li>one</li></ul>"
    records = read(
        answer(5, 2, score=1),
        row(2, body="<p>How &amp; why?</p>", Title="A title"),
        answer(7, 2, 3, body=code),
        answer(4, 2, 1),
    )
    (text,) = records[0].outcome.texts
    assert text.text == (
        "Q: A title\n\nHow & why?\n\nA:\n\nTry a < b:\n\nif a:\n    b()\n  • one\n\nA:\n\nPost 4.\n\nA:\n\nPost 5."
    )
    assert (records[0].native_key, text.url, text.date) == ("2", None, "2020-01-02T03:04:05.678")
    assert records[0].offset == len("".join([FRAME[0], answer(5, 2, 1)]).encode()) + 2
    assert [record.native_key for record in records[1:]] == ["2"] * 3


def test_site_is_an_option_or_the_folder(tmp_path):
    folder = tmp_path / "cooking.stackexchange.com"
    folder.mkdir()
    (folder / "Posts.xml").write_text(row(3))
    reader = StackExchangeReader()
    assert [record.native_key for record in reader.read(str(folder / "Posts.xml"))] == ["cooking.stackexchange.com 3"]
    assert reader.name_facts(str(folder / "Posts.xml")) == "cooking.stackexchange.com"
    assert reader.name_facts("gs://dumps/superuser.com/Posts.xml") == "superuser.com"
    assert reader.name_facts(str(tmp_path / "Posts.xml")) == ""
    (record,) = StackExchangeReader({"site": "example.org"}).read(str(folder / "Posts.xml"))
    assert record.outcome.texts[0].url == "https://example.org/q/3"


def test_posts_that_give_no_document(read, tally):
    records = read(
        row(1), row(1, body="again"), answer(2, 1), answer(3, 99), answer(4, 1, body=" "), row(5, 3), row(6, 6),
        row(7, 77), row("x"), answer(8, ""), row(9, body="<div>" * 3000), row(10, CreationDate="soon"),
    )  # fmt: skip
    assert tally(records) == {
        "used": 2, "joined": 1, "repeated_id": 1, "question_missing": 1, "no_text": 1, "wiki": 1,
        "moderator_nomination": 1, "other_post_type": 1, "!bad_fields": 2, "!nested_too_deep": 1,
    }  # fmt: skip
    notes = [record.outcome.notes for record in records if isinstance(record.outcome, Used)]
    assert ("bad_date",) in notes


@pytest.mark.parametrize("number", ["9" * 5000, "²", "--1", "1.0"])
def test_numbers_that_are_none(read, tally, number):
    records = read(row(number), row(1), answer(number, 1), answer(2, number), answer(3, 1, score=number), answer(4, 1))
    assert tally(records) == {"!bad_fields": 4, "used": 1, "joined": 1}
    assert all(len(getattr(record.outcome, "detail", "")) < 200 for record in records)


def test_too_short_a_document_skips_all_its_records(read, tally):
    assert tally(read(row(1), answer(2, 1), row(3, body="x" * 100), min_characters=60)) == {"no_text": 2, "used": 1}


def test_broken_rows_cost_only_themselves(read, tally):
    unended = row(2).replace(" />\n", "")
    markup = row(3).replace("&lt;p&gt;", "<p>")
    bad_bytes = row(4).encode().replace(b"Post", b"P\xffst")
    garbage = b"\x00\xff<garbage>{[" * 5000
    records = read(
        row(1), unended, markup, bad_bytes, garbage, row(5), garbage, answer(6, 1), row(7)[:60], framed=False
    )
    assert tally(records) == {"used": 2, "joined": 1, "!bad_xml": 3, "!bad_encoding": 1, "!not_a_row": 1}
    assert texts(records) == ["Q:\n\nPost 1.\n\nA:\n\nPost 6.", "Q:\n\nPost 5."]
    assert sum(record.raw_bytes for record in records) >= 2 * len(garbage)


def test_characters_that_xml_forbids_are_left_out_and_noted(read):
    body = row(1).replace("Post ", "P&#x1;o&#55357;&#56842;s&#0;t\x02 ")
    (record,) = read(body)
    assert texts([record]) == ["Q:\n\nPost 1."]
    assert record.outcome.notes == ("illegal_characters",)
    assert texts(read(row(1).replace("Post ", "P&#x6F;&#115;t &amp; "))) == ["Q:\n\nPost & 1."]


def test_large_rows_are_passed_over_and_long_documents_become_parts(read, tally):
    rows = [row(1), *(answer(n, 1, body="word " * 40) for n in range(2, 12)), row(12, body="x" * 5000), row(13)]
    records = read(*rows, max_record_bytes=1000)
    assert tally(records) == {"used": 5, "joined": 7, "too_large": 1}
    parts = [text for record in records for text in getattr(record.outcome, "texts", ())]
    assert [part.part for part in parts] == [1, 2, 3, 4, 0]
    assert sum(part.text.count("A:") for part in parts) == 10


def test_truncated_dump_keeps_what_was_whole(corpus, tmp_path, tally):
    xml = bz2.decompress((corpus / "forums" / SITES[0] / "Posts.xml.bz2").read_bytes())[:300_000]
    path = tmp_path / "Posts.xml.gz"
    path.write_bytes(gzip.compress(xml, 1)[:-8])
    counts = tally(StackExchangeReader().read(str(path)))
    assert counts["!truncated_gzip"] == 1
    assert counts["question_missing"] == 0
    whole = ElementTree.fromstring(xml[: xml.rindex(b"<row")].decode("utf-8-sig") + "</posts>")
    assert counts.total() == len(whole) + 1
    assert tally(StackExchangeReader().read(str(corpus / "forums/mail/spam-1.mbox.gz"))) == {"!not_a_row": 1}


def test_more_questions_than_memory_may_hold_give_the_same_records(corpus, monkeypatch):
    import pipelines.sources.stack_exchange as module

    runs = []

    class Watched(module.SortedSpill):
        def drain(self):
            runs.append((self.runs, self._size))
            return super().drain()

    monkeypatch.setattr(module, "SortedSpill", Watched)
    path = str(corpus / "forums" / SITES[0] / "Posts.xml.bz2")
    in_memory = list(StackExchangeReader().read(path))
    on_disk = list(StackExchangeReader({"spill_bytes": 20_000}).read(path))
    assert on_disk == in_memory
    assert runs[0][0] == 0
    assert runs[1][0] > 5
    assert runs[1][1] <= 20_000


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    posts=st.lists(st.tuples(st.integers(1, 4), st.integers(-2, 2)), max_size=25),
    questions=st.sets(st.integers(1, 4)),
    spill_bytes=st.sampled_from([1, 1000, 1 << 20]),
    data=st.data(),
)
def test_any_order_of_rows_gives_the_same_documents(read, posts, questions, spill_bytes, data):
    rows = [row(number) for number in sorted(questions)]
    rows += [answer(10 + n, question, score) for n, (question, score) in enumerate(posts)]
    shuffled = data.draw(st.permutations(rows))
    records = read(*shuffled, spill_bytes=spill_bytes)
    expected = {}
    for number in sorted(questions):
        mine = sorted((-score, 10 + n) for n, (question, score) in enumerate(posts) if question == number)
        expected[str(number)] = "".join([f"Q:\n\nPost {number}.", *(f"\n\nA:\n\nPost {n}." for _, n in mine)])
    documents = [record for record in records if getattr(record.outcome, "texts", ())]
    assert {record.native_key: record.outcome.texts[0].text for record in documents} == expected
    assert len(records) == len(rows)
    orphans = [record for record in records if isinstance(record.outcome, Skipped)]
    assert len(orphans) == sum(question not in questions for question, _ in posts)
    assert all(a.raw_bytes > 0 for a in itertools.chain(records))
