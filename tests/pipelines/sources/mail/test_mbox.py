"""mbox files: real mailboxes against Python's own reader, threads, and broken messages alone lost."""

import gzip
import mailbox
import re
from collections import Counter
from email.message import EmailMessage
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.sources.mail.mbox import MboxReader
from pipelines.sources.record import Skipped

MAILBOXES = {"easy-ham-1": 2500, "hard-ham-1": 250, "spam-1": 500, "spam-2": 700}
ENVELOPE = b"From someone@example.org Thu Aug 22 12:36:23 2002\n"


def message(number: int, body: str = "", subject: str = "Subject", day: int = 1, answers: str = "", **headers) -> bytes:
    lines = [
        f"Message-ID: <m{number}@example.org>",
        f"Subject: {subject}",
        f"Date: {day:02} Aug 2002 10:00:00 +0000",
        *([f"References: {answers}"] if answers else []),
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return ENVELOPE + "\n".join([*lines, "", body or f"Body of {number}."]).encode() + b"\n\n"


@pytest.fixture
def read(write):
    def read(*messages: bytes, **options):
        return list(MboxReader(options).read(write(b"".join(messages))))

    return read


def texts(records):
    return [text.text for record in records for text in getattr(record.outcome, "texts", ())]


# ---- Real mailboxes


@pytest.fixture(scope="module")
def real(corpus, tmp_path_factory):
    """(path of the file as it lies unpacked, records): of a real mailbox, ham in threads, spam in messages."""

    @cache
    def get(name: str):
        plain = tmp_path_factory.mktemp(name) / "plain.mbox"
        plain.write_bytes(gzip.decompress((corpus / "forums" / "mail" / f"{name}.mbox.gz").read_bytes()))
        return plain, list(MboxReader({"threads": "ham" in name}).read(str(plain)))

    return get


@pytest.mark.parametrize("name", MAILBOXES)
def test_every_message_of_a_real_mailbox_is_counted(real, name):
    plain, records = real(name)
    expected = mailbox.mbox(plain)
    assert len(records) == len(expected) == MAILBOXES[name]
    assert sum(record.raw_bytes for record in records) == plain.stat().st_size
    starts = sorted(expected._lookup(key)[0] for key in range(len(expected)))
    assert sorted(record.offset for record in records) == starts
    ids = Counter(" ".join(str(mail["Message-ID"]).split()) for mail in expected)
    for record in records:
        assert f"<{record.native_key}>" in ids or any(record.native_key in header for header in ids)


def test_outcomes_of_real_mail(real, tally):
    assert {name: tally(real(name)[1]) for name in MAILBOXES} == {
        "easy-ham-1": {"used": 1353, "joined": 1147},
        "hard-ham-1": {"used": 247, "joined": 3},
        "spam-1": {"used": 494, "no_text": 2, "attachments_only": 1, "!binary_text": 1, "!bad_mime": 2},
        "spam-2": {"used": 697, "no_text": 3},
    }


def test_no_header_and_no_markup_leaks_into_the_text_of_real_mail(real):
    names = (
        r"X-[\w-]+|Received|Return-Path|Delivered-To|Message-I[dD]|Content-Type|Content-Transfer-Encoding|MIME-Version"
    )
    headers = re.compile(rf"^(?:{names}): ", re.MULTILINE)
    leaks: Counter[str] = Counter()
    for name in ("hard-ham-1", "spam-1"):
        for text in texts(real(name)[1]):
            leaks["headers"] += bool(headers.search(text))
            leaks["markup"] += bool(re.search(r"<(?:td|font|br|/p)\b[^<>]*>", text, re.IGNORECASE))
            leaks["quoted-printable"] += "=3D" in text or "=20\n" in text
    assert leaks["headers"] <= 2  # bounces and forwarded mail, whose bodies have headers
    assert leaks["markup"] <= 5  # HTML that was sent as plain text
    assert leaks["quoted-printable"] == 0


def test_a_real_thread(real):
    threads = [record for record in real("easy-ham-1")[1] if texts([record])]
    (thread,) = [record for record in threads if record.outcome.texts[0].title == "ALSA (almost) made easy"]
    (text,) = thread.outcome.texts
    assert thread.native_key == "20020828004215.4bca2588.matthias@rpmforge.net"
    assert text.date == "2002-08-28T00:42:15+02:00"
    assert text.text.startswith("Hi all,\n\nI've decided at last to test the ALSA sound drivers.")
    assert "Clean custom Red Hat" not in text.text  # signature
    assert "RPM-List mailing list" not in text.text  # footer
    assert not re.search("^>", text.text, re.MULTILINE)
    assert thread.outcome.joined_bytes > 10 * thread.raw_bytes


# ---- Messages


def test_parts_alternatives_and_charsets(read):
    mail = EmailMessage()
    mail["Message-ID"], mail["Subject"] = "<a@b>", "Grüße, 世界"
    mail.set_content("Plain: ñ", charset="iso-8859-1", cte="quoted-printable")
    mail.add_alternative("<p>HTML: ñ</p>", subtype="html")
    mail.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="a.png")
    mail.add_attachment("attached text", filename="notes.txt")
    (record,) = read(ENVELOPE + mail.as_bytes() + b"\n")
    (text,) = record.outcome.texts
    assert (text.text, text.title, text.date, record.native_key) == ("Plain: ñ", "Grüße, 世界", None, "a@b")
    assert record.outcome.notes == ("bad_date",)


@pytest.mark.parametrize(
    ("charset", "body", "text"),
    [
        ("unknown-8bit", "naïve café".encode("cp1252"), "naïve café"),
        ("us-ascii", "naïve café".encode(), "naïve café"),
        ("iso-8859-1", "naïve “café”".encode("cp1252"), "naïve “café”"),
        ("utf-8", "ein schönes Büro für Grüße".encode("latin-1"), "ein schönes Büro für Grüße"),
        ("iso-2022-jp", "こんにちは".encode("iso-2022-jp"), "こんにちは"),
        ("punycode", b"what a charset", "what a charset"),
        (
            "",
            "Привет, как дела? Приходи завтра к нам в гости.".encode("koi8-r"),
            "Привет, как дела? Приходи завтра к нам в гости.",
        ),
    ],
)
def test_charsets_that_are_wrong_unknown_or_missing(read, charset, body, text):
    kind = f"Content-Type: text/plain; charset={charset}\n" if charset else ""
    head = f"Subject: s\n{kind}Content-Transfer-Encoding: 8bit\n\n".encode()
    assert texts(read(ENVELOPE + head + body + b"\n")) == [text]


def test_html_mail_and_bare_bytes_in_the_subject(read):
    html = '<html><head><title>no</title></head><body><p>One<br>two</p><img alt="x"><script>no()</script></body></html>'
    (record,) = read(ENVELOPE + b"Subject: Caf\xe9\nContent-Type: text/html\n\n" + html.encode() + b"\n")
    assert record.outcome.texts[0].text == "One\ntwo"
    assert record.outcome.texts[0].title == "Café"


def test_messages_that_give_no_document(read, tally):
    attachment = "Content-Type: application/pdf\nContent-Transfer-Encoding: base64"
    multipart = "Content-Type: multipart/mixed; boundary=x\n\nno part"
    records = read(
        message(1),
        ENVELOPE + f"Subject: only a file\n{attachment}\n\nJVBERi0x\n\n".encode(),
        ENVELOPE + b"Subject: blank\n\n \n\n",
        ENVELOPE + b"\x00\x01\xff no header at all\nmore\n\n",
        ENVELOPE + b"Subject: garbage\n\n" + bytes(range(1, 9)) * 50 + b"\n\n",
        ENVELOPE + f"Subject: broken\n{multipart}\n\n".encode(),
        ENVELOPE + b"Subject: cut\nContent-Transfer-Encoding: base64\n\nQUJDR\n\n",
        ENVELOPE + b"Subject: deep\nContent-Type: text/html\n\n" + b"<div>" * 3000 + b"\n\n",
        message(9, "word " * 1000),
        message(10),
        max_record_bytes=16_000,
    )
    assert tally(records) == {
        "used": 3, "attachments_only": 1, "no_text": 1, "!no_headers": 1, "!binary_text": 1, "!bad_mime": 2,
        "!nested_too_deep": 1,
    }  # fmt: skip
    assert tally(read(message(1), message(9, "word " * 1000), message(10), max_record_bytes=1000)) == {
        "used": 2,
        "too_large": 1,
    }


@pytest.mark.parametrize("parameter", ["text/plain; charset*=a\0b''x", "multipart/mixed; boundary*=\0'x'a"])
def test_charset_names_that_break_pythons_parser_cost_their_message(read, tally, parameter):
    assert tally(read(message(1), message(2, Content_Type=parameter), message(3))) == {"used": 2, "!bad_mime": 1}


def test_separators_and_quoted_ones(read):
    body = "From here on it is text.\n\nFrom the start\n>From the end\n>>From deeper"
    records = read(message(1, body), message(2), remove_quotes=False)
    assert texts(records) == [body.replace(">From", "From", 1).replace(">>", ">"), "Body of 2."]
    assert texts(read(message(1).replace(b"\n", b"\r\n"), message(2)))[0] == "Body of 1."
    assert len(read(message(1).rstrip(b"\n") + b"\n", message(2))) == 2  # no empty line between


def test_garbage_before_between_and_a_truncated_file(read, tally):
    garbage = b"\x00\xff{binary}" * 20_000
    records = read(garbage, message(1), message(2), message(3))
    assert tally(records) == {"!not_mbox": 1, "used": 3}
    assert records[0].raw_bytes == len(garbage)
    assert tally(read(garbage)) == {"!not_mbox": 1}
    packed = gzip.compress(message(1) + message(2, "x" * 5000) + message(3), 0)
    assert tally(read(packed[:-2000])) == {"used": 1, "!truncated_gzip": 1}
    members = gzip.compress(message(1)) + gzip.compress(message(2))[:-12] + gzip.compress(message(3))
    damaged, last = read(members)  # whether the first message is whole nobody knows: the damage is at its end
    assert tally([damaged, last]) == {"!damaged_gzip": 1, "used": 1}
    assert texts([last]) == ["Body of 3."]


# ---- Threads


def test_threads_by_reference_and_subject(read):
    records = read(
        message(4, subject="RE: [list] Re:  beer", day=5),
        message(3, subject="Something else", day=4, answers="<gone@x> <m2@example.org>"),
        message(1, subject="Beer", day=1),
        message(2, subject="Re: Beer", day=2, In_Reply_To="Your message of Thursday <m1@example.org>"),
        message(5, subject="Report", day=6),
        message(6, subject="Report", day=7),
        message(7, subject="Re: Report", day=8),
    )
    assert texts(records) == [
        "\n\n".join(f"Body of {n}." for n in (1, 2, 3, 4)),
        "Body of 5.",
        "Body of 6.\n\nBody of 7.",
    ]
    first = records[0]
    assert (first.native_key, first.outcome.texts[0].title) == ("m1@example.org", "Beer")
    assert first.outcome.joined_bytes == sum(record.raw_bytes for record in records[1:4])
    assert [record.native_key for record in records[:4]] == ["m1@example.org"] * 4


def test_message_that_comes_twice_is_in_the_thread_once(read, tally):
    records = read(message(1), message(2, answers="<m1@example.org>"), message(1), threads=True)
    assert tally(records) == {"used": 1, "joined": 1, "repeated_id": 1}
    assert texts(records) == ["Body of 1.\n\nBody of 2."]
    assert tally(read(message(1), message(1), threads=False)) == {"used": 2}


def test_quotes_go_in_threads_and_stay_in_single_messages(read):
    body = "Yes.\n\nOn Monday, Ann wrote:\n> Is it?\n\nAnd more."
    assert texts(read(message(1, body))) == ["Yes.\n\nAnd more."]
    assert texts(read(message(1, body), threads=False)) == [body]
    assert texts(read(message(1, body), threads=False, remove_quotes=True)) == ["Yes.\n\nAnd more."]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    parents=st.lists(st.integers(0, 30), min_size=1, max_size=20),
    spill_bytes=st.sampled_from([1, 500, 1 << 20]),
    data=st.data(),
)
def test_threads_are_the_trees_of_answers_in_any_order(read, parents, spill_bytes, data):
    """Message n answers message parents[n] where that is an earlier one; else it begins a thread."""
    root = {}
    for number, parent in enumerate(parents):
        root[number] = root[parent] if parent < number else number
    mails = [
        message(n, day=n + 1, subject=f"s{n}", answers=f"<m{parent}@example.org>" if parent < n else "")
        for n, parent in enumerate(parents)
    ]
    records = read(*data.draw(st.permutations(mails)), spill_bytes=spill_bytes)
    expected = {
        "\n\n".join(f"Body of {n}." for n in range(len(parents)) if root[n] == start) for start in set(root.values())
    }
    assert set(texts(records)) == expected
    assert len(records) == len(parents)
    assert not [record for record in records if isinstance(record.outcome, Skipped)]
