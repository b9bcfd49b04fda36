"""What a mail's author wrote, without what mail programs and lists add."""

import pytest

from pipelines.sources.mail.body import clean_body
from pipelines.text import normalize_text

FOOTER = "_" * 47 + "\nExmh-users mailing list\nExmh-users@example.org"
SIGNED = (
    "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA1\n\nText.\n- -- \nName\n"
    "-----BEGIN PGP SIGNATURE-----\nVersion: GnuPG\n\niD8DBQE9\n-----END PGP SIGNATURE-----\n"
)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Text.\n-- \nName\nPhone", "Text."),
        ("Text.\r\n\r\n--\r\nName", "Text."),
        ("Text.\n-- \n" + "line\n" * 26, "Text.\n--\n" + "line\n" * 25 + "line"),
        ("A -- dash\n--- a/file\nend", "A -- dash\n--- a/file\nend"),
        (f"Text.\n\n{FOOTER}", "Text."),
        (f"Text.\n-- \nName\n\n{FOOTER}", "Text."),
        ("Text.\n" + "_" * 30 + "\nA form", "Text.\n" + "_" * 30 + "\nA form"),
        (SIGNED, "Text."),
        ("Text.\n\n------------------------ Yahoo! Groups Sponsor ---------------------~-->\nBuy", "Text."),
    ],
)
def test_signatures_footers_and_armor(text, written):
    assert normalize_text(clean_body(text, remove_quotes=False)) == written


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Ann wrote:\n> one\n> two\n\nNo.", "No."),
        ("Hello.\n\nOn 5 Sep 2002, Ann\nAnnson wrote:\n\n> one\nNo.\n> two\nYes.", "Hello.\n\nNo.\n\nYes."),
        ("Am 5. September schrieb Ann:\n> eins\nNein.", "Nein."),
        ("I see this:\n> one", "I see this:"),
        ("What he wrote:\n\nText without quotes", "What he wrote:\n\nText without quotes"),
        ("I think so. He said\nthis and wrote:\n>one\nend", "I think so. He said\n\nend"),
        (">only\n>quoted", ""),
        ("Yes.\n\n-----Original Message-----\nFrom: Ann\nSubject: x\n\nIs it?", "Yes."),
        ("----- Original Message -----\nFrom: Ann\n\n> Is it?\nYes.", "Yes."),
        ("-----Original Message-----\nFrom: Ann\n\nForwarded text.", "Forwarded text."),
        ("a > b\nc -> d", "a > b\nc -> d"),
    ],
)
def test_quotes_and_their_attributions(text, written):
    assert normalize_text(clean_body(text, remove_quotes=True)) == written


def test_time_grows_with_the_text_alone():
    hostile = "-----Original Message-----\n" * 100_000 + "> q\nwrote:\n" * 50_000
    assert clean_body(hostile, remove_quotes=True).strip() == "wrote:"
