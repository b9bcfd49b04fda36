"""Training is repeatable, keeps all of the text it is given, and says what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.demo_text import news
from tests.tokenizer.conftest import SETTINGS
from tokenizer.encode import Encoder
from tokenizer.settings import TokenizerSettings
from tokenizer.train import _parts, train_tokenizer
from tokenizer.train_process import train_with_progress

TRAIN_AND_HASH = """
import hashlib, sys
from tests.demo_text import news
from tokenizer.settings import TokenizerSettings
from tokenizer.train import train_tokenizer
settings = TokenizerSettings.model_validate_json(sys.argv[1])
print(hashlib.sha256(train_tokenizer(news()[:100], settings)).hexdigest())
"""


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_fresh_processes_train_the_same_bytes(model_type):
    news()  # skips where there is none
    settings = TokenizerSettings(vocabulary_size=1200, model_type=model_type).model_dump_json()
    root = Path(__file__).resolve().parents[2]
    hashes = {
        subprocess.run(
            [sys.executable, "-c", TRAIN_AND_HASH, settings], cwd=root, check=True, capture_output=True, text=True
        ).stdout
        for _ in range(2)
    }
    assert len(hashes) == 1


def test_bpe_models_are_lossless_too(texts):
    encoder = Encoder(train_tokenizer(texts, TokenizerSettings(vocabulary_size=1000, model_type="bpe")))
    assert encoder.vocabulary_size == 1000
    (ids,) = encoder.encode_batch([texts[-1]])
    assert encoder.decode(ids) == texts[-1]


def test_runs_of_newlines_are_tokens(texts):
    encoder = Encoder(train_tokenizer(texts, TokenizerSettings(vocabulary_size=800, newline_runs=3)))
    for run in (1, 2, 3):
        (ids,) = encoder.encode_batch(["\n" * run])
        assert encoder.pieces(ids) == ["\n" * run]


def test_digits_are_split(encoder):
    (ids,) = encoder.encode_batch(["in 1984"])
    assert encoder.pieces(ids)[-4:] == ["1", "9", "8", "4"]


@given(st.text(st.sampled_from("ab é日😀"), max_size=200), st.integers(16, 64))
def test_long_lines_are_trained_on_in_parts(line, limit):
    parts = list(_parts(line, limit))
    assert all(len(part.encode()) <= limit for part in parts)
    assert "".join(parts).replace(" ", "") == line.replace(" ", "")


def test_a_vocabulary_larger_than_the_text_is_refused_with_the_largest_possible():
    with pytest.raises(ValueError, match=r"vocabulary_size = 4096 .* use \d+ or less, or train on more text"):
        train_tokenizer(["a few words only"], TokenizerSettings())


def test_a_vocabulary_smaller_than_the_alphabet_is_refused():
    alphabet = "".join(chr(0x4E00 + n) for n in range(400))
    with pytest.raises(ValueError, match=r"vocabulary_size = 300 .* lower character_coverage"):
        train_tokenizer([alphabet], SETTINGS.model_copy(update={"vocabulary_size": 300, "character_coverage": 1.0}))


@pytest.mark.parametrize("texts", [[], [""], ["\n \n"]])
def test_no_text_is_refused(texts):
    with pytest.raises(ValueError, match="no text"):
        train_tokenizer(texts, SETTINGS)


def test_a_training_with_progress_gives_the_same_bytes_and_tells_how_far_it_is():
    settings = TokenizerSettings(vocabulary_size=1000, threads=1)
    shares: list[float] = []
    texts = news()[:60]
    assert train_with_progress(texts, settings, shares.append) == train_tokenizer(texts, settings)
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1
    assert shares[-1] > 0.8


def test_a_training_in_its_own_process_refuses_what_the_other_refuses():
    with pytest.raises(ValueError, match="vocabulary_size = 4096 is more than 16 characters of text can fill"):
        train_with_progress(["a few words only"], TokenizerSettings(), print)
