"""N-grams of examples found in texts: exactly those of a naive scan, wherever and however they are written."""

from __future__ import annotations

import gzip
import os
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.contamination import matching, ngrams
from pipelines.contamination.evaluation_sets import Example, read_examples
from pipelines.contamination.matching import NgramSet, task_of
from pipelines.contamination.ngrams import NgramWriter, length_of_ngrams
from pipelines.contamination.words import batches_of_words, to_characters
from pipelines.sources.locate import locate
from tests.demo_text import news, plays
from tests.pipelines.contamination.naive import naive_documents, naive_matches, naive_ngrams, naive_words

FOLDERS = count()
N = 13
VOCABULARY = ["a", "Bee", "c3", "d\u00e9j\u00e0", "E\u0301", "Ж", "語", "ไ", "the", "is"]
SEPARATORS = [" ", "\n", ", ", " — ", "_", "’", "\u200b", "。", " - "]
TEXTS = st.lists(st.tuples(st.sampled_from(VOCABULARY), st.sampled_from(SEPARATORS)), max_size=30).map(
    lambda pairs: "".join(word + separator for word, separator in pairs)
)


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    """A function from examples by task to their set of n-grams."""
    folder = tmp_path_factory.mktemp("sets")

    def written(tasks: dict[str, list[str]], n: int | str = N) -> NgramSet:
        url = str(folder / str(next(FOLDERS)))
        examples = {t: [Example("f", i, text) for i, text in enumerate(texts)] for t, texts in tasks.items()}
        NgramWriter(url, n).write(examples)
        return NgramSet(url)

    return written


def found(ngram_set: NgramSet, texts: list[str]) -> list[list[tuple[int, tuple[str, ...]]]]:
    """Of each text the (word, n-gram) pairs that were found, the n-gram as the text's own words."""
    result = []
    for _, words in batches_of_words(pa.array(texts, pa.large_string())):
        matches = ngram_set.find(words)
        number = np.searchsorted(words.offsets, matches.words, "right") - 1
        for text in range(len(words.offsets) - 1):
            own = matches.of(number == text, words.offsets[text])
            split = naive_words(texts[len(result)])
            pairs = zip(own.words.tolist(), own.lengths.tolist(), strict=True)
            result.append(sorted((w, tuple(split[w : w + length])) for w, length in pairs))
    return result


@settings(max_examples=120, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4), st.lists(TEXTS, min_size=1, max_size=5), st.integers(1, 20))
def test_what_is_found_is_what_a_naive_scan_finds(write, texts, examples, n):
    assert found(write({"task": examples}, n), texts) == [naive_matches(text, examples, n) for text in texts]


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=5), st.integers(1, 15))
def test_postings_name_every_example_and_the_first_word_of_the_ngram_in_it(write, text, examples, n):
    ngram_set = write({"a": examples[:2], "b": examples[2:]}, n)
    expected = set()
    for number, example in enumerate(examples):
        own = naive_ngrams(example, n)
        expected |= {(number, own.index(ngram)) for _, ngram in naive_matches(text, [example], n)}
    ((_, words),) = batches_of_words(pa.array([text], pa.large_string()))
    _, postings = ngram_set.examples_of(ngram_set.find(words).ngrams)
    assert set(postings.tolist()) == expected
    assert task_of(ngram_set.tasks, np.arange(len(examples))).tolist() == [int(e >= 2) for e in range(len(examples))]


def test_partitions_and_chunks_change_nothing(write, monkeypatch):
    texts, examples = news()[:40], [text[200:900] for text in news()[20:60]]
    expected = found(write({"news": examples}), texts)
    monkeypatch.setattr(ngrams, "PARTITION", 100)
    monkeypatch.setattr(matching, "PAIRS", 7)
    assert found(write({"news": examples}), texts) == expected
    assert sum(map(len, expected)) > 1000


def test_real_text_with_real_overlap_agrees_with_the_naive_scan(write):
    texts = news()[:60] + [play[:20_000] for play in plays(2)]
    examples = [text[100:700] for text in news()[50:80]] + [play[15_000:16_000] for play in plays(4)]
    for n in (8, 13):
        assert found(write({"task": examples}, n), texts) == [naive_matches(text, examples, n) for text in texts]


def test_a_real_corpus_against_a_real_set_agrees_with_the_naive_scan(write):
    corpus, sets = os.environ.get("GLAM_CORPUS"), os.environ.get("GLAM_EVAL")
    if not corpus or not sets:
        pytest.skip("GLAM_CORPUS and GLAM_EVAL are not both set: no real corpus and evaluation sets")
    book = Path(locate([f"{corpus}/books/*.txt.gz"])[0])
    pages = gzip.decompress(book.read_bytes()).decode("utf-8", "replace")[:300_000]
    texts = [pages[i : i + 3000] for i in range(0, len(pages), 3000)]
    examples = [e.text for e in read_examples("nq_open", [f"{sets}/nq_open.dev.jsonl.gz"], ["question"])][:2000]
    examples += [texts[7][500:900], texts[50][1000:1400].upper()]
    result = found(write({"task": examples}, 5), texts)
    assert result == [naive_matches(text, examples, 5) for text in texts]
    assert result[7]
    assert result[50]


def test_a_set_on_an_object_store_finds_the_same(write):
    url = f"memory://sets/{next(FOLDERS)}"
    NgramWriter(url, N).write({"task": [Example("f", 1, SENTENCE)]})
    assert found(NgramSet(url), [SENTENCE]) == found(write({"task": [SENTENCE]}), [SENTENCE]) != [[]]


SENTENCE = "The quick brown fox, it is said, jumps over the lazy old dog near the river’s bank"


@pytest.mark.parametrize(
    "written",
    [
        SENTENCE,
        SENTENCE.upper(),
        SENTENCE.replace(" ", "\n\n"),
        SENTENCE.replace(",", "").replace("’", "'"),
        SENTENCE.replace("fox,", "_fox_ —").replace(" ", "\u00a0"),
        f"({SENTENCE})",
        "“" + SENTENCE.replace(" ", " … ") + "”",
    ],
)
@pytest.mark.parametrize("place", ["start", "middle", "end"])
def test_an_injected_example_is_found_however_it_is_written(write, written, place):
    before, after = {"start": ("", " and more"), "middle": ("Some say ", "; so it is"), "end": ("Well. ", "")}[place]
    (matches,) = found(write({"task": [SENTENCE]}), [before + written + after])
    assert len(matches) == len(naive_words(SENTENCE)) - 12


def test_one_other_word_in_the_middle_leaves_no_match(write):
    words = SENTENCE.split()
    (matches,) = found(write({"task": [SENTENCE]}), [" ".join([*words[:8], "not", *words[8:]])])
    assert matches == []


def test_no_match_runs_over_the_end_of_a_document(write):
    half = SENTENCE.index("jumps")
    ngram_set = write({"task": [SENTENCE]})
    assert found(ngram_set, [SENTENCE[:half], SENTENCE[half:]]) == [[], []]


def test_short_examples_match_with_all_their_words_and_empty_ones_with_nothing(write):
    examples = ["Who wrote it?", "…", "Yes"]
    ngram_set = write({"task": examples})
    assert found(ngram_set, ["he asked who wrote it", "who wrote", "yes, yes"]) == [
        [(2, ("who", "wrote", "it"))],
        [],
        [(0, ("yes",)), (1, ("yes",))],
    ]
    assert ngram_set.tasks[0]["without_words"] == 1


def test_characters_are_the_words_of_scripts_without_spaces(write):
    example = "東京は日本の首都であり世界最大の都市圏です"
    texts = [f"知っていますか、{example}。", example[4:], example[:12]]
    assert [len(m) for m in found(write({"task": [example]}), texts)] == [len(example) - 12, len(example) - 16, 0]
    assert naive_documents(texts, [example], 13) == [[0, 1]]


def test_a_text_longer_than_a_piece_is_searched_over_its_seams(write):
    filler = "lorem,ipsum;dolor." * 20_000
    for cut in range(65_500, 65_560, 7):
        (matches,) = found(write({"task": [SENTENCE]}), [filler[:cut] + " " + SENTENCE + " " + filler[cut:]])
        assert len(matches) == len(naive_words(SENTENCE)) - 12


def test_ignored_ngrams_are_not_found(tmp_path):
    url = str(tmp_path / "set")
    NgramWriter(url, 3).write({"task": [Example("f", 1, "one two three four")]})
    ((_, words),) = batches_of_words(pa.array(["one two three four"], pa.large_string()))
    first = NgramSet(url).find(words)
    assert first.words.tolist() == [0, 1]
    assert NgramSet(url, first.ngrams[:1]).find(words).words.tolist() == [1]


@pytest.mark.parametrize(
    ("lengths", "n"), [([3] * 50, 8), ([100] * 50, 13), ([*range(1, 101)], 8), ([10] * 99 + [2], 10), ([0] * 9, 8)]
)
def test_the_length_of_gpt3_is_the_clamped_5th_percentile(lengths, n):
    assert length_of_ngrams(lengths, "gpt3") == n


def test_positions_in_bytes_become_positions_in_characters():
    text = "né 東京 ok"
    assert to_characters(text, np.array([0, 3, 4, 7, 11, 13])).tolist() == [0, 2, 3, 4, 6, 8]
