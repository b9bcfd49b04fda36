"""Vocabularies up to the paper's 256,000 pieces are accepted, larger ones refused."""

import pytest
from pydantic import ValidationError

from tests.demo_text import news
from tokenizer.settings import TokenizerSettings
from tokenizer.train import train_tokenizer


@pytest.mark.parametrize("size", [256_000, 2**18])
def test_the_papers_vocabulary_is_accepted(size):
    assert TokenizerSettings(vocabulary_size=size).vocabulary_size == size


@pytest.mark.parametrize("size", [2**18 + 1, 299])
def test_a_vocabulary_out_of_range_is_refused(size):
    with pytest.raises(ValidationError, match="vocabulary_size"):
        TokenizerSettings(vocabulary_size=size)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_the_papers_vocabulary_on_too_little_text_is_refused_with_the_largest_possible(kind):
    with pytest.raises(ValueError, match=r"vocabulary_size = 256000 is more than .* use \d+ or less, or train on more"):
        train_tokenizer(news()[:20], TokenizerSettings(vocabulary_size=256_000, model_type=kind))
