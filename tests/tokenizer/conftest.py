"""One tokenizer of real news and plays, trained once for all tests."""

from __future__ import annotations

import pytest

from tests.demo_text import news, plays
from tokenizer.encode import Encoder
from tokenizer.settings import TokenizerSettings
from tokenizer.train import train_tokenizer

SETTINGS = TokenizerSettings(vocabulary_size=2000)


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return news()[:150] + plays(2)


@pytest.fixture(scope="session")
def model(texts) -> bytes:
    return train_tokenizer(texts, SETTINGS)


@pytest.fixture(scope="session")
def encoder(model) -> Encoder:
    return Encoder(model)
