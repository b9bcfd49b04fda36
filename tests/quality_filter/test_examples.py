"""Cutting, capping, balancing and ordering depend on the documents alone."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality_filter.examples import (
    MOST_COPIES,
    Example,
    balance,
    choose_examples,
    cut_pieces,
    document_examples,
    match_lengths,
)
from quality_filter.settings import QualitySettings
from tests.demo_text import plays
from tests.quality_filter.conftest import order

SETTINGS = QualitySettings()


def made(positives: int, negatives: int, source: str = "s") -> list[Example]:
    flags = [True] * positives + [False] * negatives
    return [Example(bytes([positive, n]), source, positive, f"text {n}") for n, positive in enumerate(flags)]


@given(st.text(st.sampled_from("ab \n"), max_size=3000), st.integers(100, 1000))
def test_pieces_join_to_the_text_and_have_about_the_length_asked(text, length):
    pieces = cut_pieces(text, length)
    assert "".join(pieces) == text
    assert all(len(piece) <= 2 * length for piece in pieces)
    assert len(pieces) == 1 or min(len(piece) for piece in pieces) >= length / 4


def test_a_play_is_cut_at_line_ends():
    pieces = cut_pieces(plays(1)[0], 2500)
    assert len(pieces) > 20
    assert all(piece.endswith("\n") for piece in pieces[:-1])


def test_text_without_blanks_is_cut_all_the_same():
    assert [len(piece) for piece in cut_pieces("x" * 10_000, 2500)] == [2500] * 4


def test_a_document_gives_a_limited_number_of_pieces_from_all_over_it():
    chosen = document_examples(b"d" * 16, "plays", False, plays(1)[0], SETTINGS, order)
    assert len(chosen) == SETTINGS.pieces_per_document
    numbers = sorted(int.from_bytes(example.key[16:], "big") for example in chosen)
    assert numbers != list(range(len(numbers)))


def test_caps_hold_by_source_and_class_and_not_by_order_of_arrival():
    settings = QualitySettings(positives_per_source=3, negatives_per_source=5)
    examples = made(10, 20) + [e._replace(key=b"t" + e.key, source="t") for e in made(10, 2)]
    chosen = choose_examples(examples, settings, order)
    counts = Counter((example.source, example.positive) for example in chosen)
    assert counts == {("s", True): 3, ("s", False): 5, ("t", True): 3, ("t", False): 2}
    assert choose_examples(reversed(examples), settings, order) == chosen


def of_lengths(positive: bool, lengths: list[int]) -> list[Example]:
    return [Example(bytes([positive, n % 256, n // 256]), "s", positive, "x" * size) for n, size in enumerate(lengths)]


def test_negatives_get_the_lengths_of_positives():
    positives = of_lengths(True, [2500] * 30 + [900] * 10)
    negatives = of_lengths(False, [2600] * 100 + [950] * 100 + [30] * 200)
    matched, rows = match_lengths(positives + negatives, order)
    drawn = Counter(len(example.text) for example in matched if not example.positive)
    assert drawn == {2600: 300, 950: 100}  # three of four, as the positives; the shortest ones are like no positive
    assert [example for example in matched if example.positive] == positives
    assert [(row.shortest, row.positives, row.negatives, row.wanted, row.drawn) for row in rows] == [
        (24, 0, 200, 0, 0),
        (768, 10, 100, 100, 100),
        (2048, 30, 100, 300, 300),
    ]
    assert len({example.key for example in matched}) == len(matched)


def test_matching_repeats_an_example_a_few_times_at_most_and_counts_what_is_missing():
    matched, rows = match_lengths(of_lengths(True, [2500] * 10) + of_lengths(False, [2500] * 2 + [30] * 98), order)
    copies = Counter(example.key[:3] for example in matched if not example.positive)
    assert sorted(copies.values()) == [MOST_COPIES, MOST_COPIES]
    assert [(row.wanted, row.drawn) for row in rows] == [(0, 0), (100, 2 * MOST_COPIES)]


@given(st.lists(st.integers(0, 5000), min_size=1), st.lists(st.integers(0, 5000), min_size=1), st.randoms())
def test_matching_depends_on_the_examples_alone(positives, negatives, random):
    examples = of_lengths(True, positives) + of_lengths(False, negatives)
    matched, rows = match_lengths(examples, order)
    assert sum(row.positives for row in rows) == len(positives)
    assert sum(row.negatives for row in rows) == len(negatives)
    random.shuffle(examples)
    again, same = match_lengths(examples, order)
    assert sorted(again) == sorted(matched)
    assert same == rows


def test_balance_repeats_the_smaller_class_evenly():
    lines = balance(made(3, 11), order)
    counts = Counter(example.key for example in lines)
    assert sum(n for key, n in counts.items() if key[0]) == sum(n for key, n in counts.items() if not key[0]) == 11
    assert sorted(n for key, n in counts.items() if key[0]) == [3, 4, 4]
    assert all(n == 1 for key, n in counts.items() if not key[0])


def test_training_order_mixes_the_classes_and_not_by_order_of_arrival():
    examples = made(50, 50)
    lines = balance(examples, order)
    assert lines == balance(examples[::-1], order)
    changes = sum(a.positive != b.positive for a, b in itertools.pairwise(lines))
    assert 30 < changes < 70


def test_an_example_given_twice_is_refused():
    with pytest.raises(ValueError, match="two examples have the key"):
        choose_examples(made(2, 2) + made(1, 0), SETTINGS, order)


@pytest.mark.parametrize(("positives", "negatives", "missing"), [(0, 3, "positive"), (3, 0, "negative")])
def test_an_empty_class_is_refused(positives, negatives, missing):
    with pytest.raises(ValueError, match=f"no {missing} example"):
        choose_examples(made(positives, negatives), SETTINGS, order)


def test_settings_refuse_buckets_that_are_no_power_of_two():
    with pytest.raises(ValueError, match="use 65536"):
        QualitySettings(buckets=100_000)
