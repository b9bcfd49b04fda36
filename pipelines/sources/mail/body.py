"""What somebody wrote, out of the text of a mail: without signatures, list footers and quoted text.

In: the text of one part, any line ends. Out: the text with `\\n` line ends. All rules look at whole lines:

- a signature begins at a line `-- ` and has at most 25 lines; a longer tail stays;
- the footer of a mailing list begins at a line of 20 or more underscores followed by one that says "mailing list", or
  where SourceForge and Yahoo! Groups put their advertisement;
- the armor of OpenPGP's clear signatures goes, the signed text stays;
- quoted lines begin with `>`; the attribution before them ends with a colon and says who wrote or on what day;
- `-----Original Message-----` and the headers under it go; what follows is quoted too, unless it has quoted lines
  (then the author answers between them) or nothing stands before it (then it was forwarded).
"""

from __future__ import annotations

import re

_SIGNATURE_LINES = 25
_SIGNATURE = re.compile(r"--[ \t]?")
_FOOTER = re.compile(
    r"^_{20,}[ \t]*\n[^\n]*mailing list|^-{20,}[ \t]*\nThis sf\.net email is sponsored|^-{5,} Yahoo! Groups Sponsor -",
    re.IGNORECASE | re.MULTILINE,
)
_PGP_HEAD = re.compile(r"^-----BEGIN PGP SIGNED MESSAGE-----[ \t]*\n(?:[A-Z][\w-]*:[^\n]*\n)*\s*?\n", re.MULTILINE)
_PGP_SIGNATURE = re.compile(
    r"^-----BEGIN PGP SIGNATURE-----.*?(?:^-----END PGP SIGNATURE-----|\Z)", re.MULTILINE | re.DOTALL
)
_PGP_ESCAPE = re.compile(r"^- (?=-)", re.MULTILINE)
_QUOTED = re.compile(r"[ \t]{0,3}>")
_ORIGINAL_MESSAGE = re.compile(
    r"[ \t]*-{2,} ?(?:Original Message|Ursprüngliche Nachricht|Message d'origine|Mensaje original) ?-{2,}[ \t]*",
    re.IGNORECASE,
)
_SAYS = re.compile(
    r"\b(?:wrote|writes|said|says|quoted|typed|is all like|schrieb|schreibt|a écrit|écrivait|escribió|scrive|"
    r"ha scritto|escreveu|schreef|skrev|napisał|пишет|писал|написал)\b",
    re.IGNORECASE,
)
_ON_A_DAY = re.compile(
    r"[ \t]*(?:On|At|Am|Le|El|Il|Em|Op|Den|Dnia|Once upon a time|In message|In article)\b", re.IGNORECASE
)


def clean_body(text: str, remove_quotes: bool) -> str:
    """Return what the author of a mail wrote.

    Args:
        text: of one part of the mail.
        remove_quotes: whether quoted lines and their attributions go.
    """
    text = _without_armor(text.replace("\r\n", "\n").replace("\r", "\n"))
    if footer := _FOOTER.search(text):
        text = text[: footer.start()]
    lines = _without_signature(text.rstrip().split("\n"))
    return "\n".join(_without_quotes(lines) if remove_quotes else lines)


def _without_armor(text: str) -> str:
    head = _PGP_HEAD.search(text)
    if not head:
        return text
    return text[: head.start()] + _PGP_ESCAPE.sub("", _PGP_SIGNATURE.sub("", text[head.end() :]))


def _without_signature(lines: list[str]) -> list[str]:
    start = max(0, len(lines) - _SIGNATURE_LINES - 1)
    cut = next((number for number in range(start, len(lines)) if _SIGNATURE.fullmatch(lines[number])), len(lines))
    return lines[:cut]


def _without_quotes(lines: list[str]) -> list[str]:
    kept: list[str] = []
    in_quote = False
    for line in _without_original(lines):
        if not _QUOTED.match(line):
            kept.append(line)
            in_quote = False
        elif not in_quote:
            _drop_attribution(kept)
            kept.append("")
            in_quote = True
    return kept


def _without_original(lines: list[str]) -> list[str]:
    """Cut the messages that a mail program put whole under the answer, or at least their headers."""
    last_quoted = max((number for number, line in enumerate(lines) if _QUOTED.match(line)), default=-1)
    kept: list[str] = []
    position, is_answer = 0, False
    while position < len(lines):
        line = lines[position]
        position += 1
        if not _ORIGINAL_MESSAGE.fullmatch(line):
            kept.append(line)
            is_answer = is_answer or bool(line.strip())
            continue
        position = _after_headers(lines, position)
        if is_answer and last_quoted < position:
            break
    return kept


def _after_headers(lines: list[str], position: int) -> int:
    """Return the position behind blank lines and the paragraph after them."""
    while position < len(lines) and not lines[position].strip():
        position += 1
    while position < len(lines) and lines[position].strip() and not _QUOTED.match(lines[position]):
        position += 1
    return position


def _drop_attribution(kept: list[str]) -> None:
    """Take the lines that introduce a quotation (one or two, and a blank one behind them) off the end."""
    end = len(kept)
    while end and end > len(kept) - 2 and not kept[end - 1].strip():
        end -= 1
    if not end or not kept[end - 1].rstrip().endswith(":"):
        return
    if _ON_A_DAY.match(kept[end - 1]):
        del kept[end - 1 :]
    elif _SAYS.search(kept[end - 1]):
        second = end > 1 and _ON_A_DAY.match(kept[end - 2]) and not kept[end - 2].rstrip().endswith((".", "?", "!"))
        del kept[end - (2 if second else 1) :]
