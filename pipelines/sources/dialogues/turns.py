"""How turns are written, the same for every format: one line each, `Speaker: text` or `* Speaker action`."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Return a text with every run of blanks and line ends as one blank."""
    return " ".join(text.split())


def spoken(speaker: str, text: str) -> str:
    """Return the line of a turn; empty where nothing is said, and without a label where nobody is named."""
    said, name = one_line(text), one_line(speaker)
    return f"{name}: {said}" if name and said else said


def acted(speaker: str, action: str) -> str:
    """Return the line of what a participant does, as chat programs show it; empty where nothing is done."""
    done = one_line(action)
    return f"* {one_line(speaker)} {done}" if done else ""
