"""The language detector: codes for clear texts, `unknown` where there is too little to judge by."""

import pytest

from pipelines.language import UNKNOWN, detect


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The committee said on Tuesday that it would publish the results of its inquiry before the summer.", "en"),
        (
            "Der Ausschuss teilte am Dienstag mit, dass er die Ergebnisse der Untersuchung noch vor dem Sommer zeigt.",
            "de",
        ),
        ("Le comité a annoncé mardi qu'il publierait les résultats de son enquête avant la fin de l'été.", "fr"),
        ("Комитет сообщил во вторник, что опубликует результаты своего расследования до начала лета.", "ru"),
        ("委員会は火曜日、調査の結果を夏までに公表すると発表した。これは予想よりも早いものである。", "ja"),
    ],
)
def test_clear_texts(text, language):
    assert detect(text) == language


@pytest.mark.parametrize(
    "text", ["", "Hello there", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15", "x" * 19, "--- *** ---" * 20]
)
def test_no_verdict_below_twenty_letters(text):
    assert detect(text) == UNKNOWN
