"""One classifier of news against plays, trained once for all tests, with the fastText model it was collapsed from."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import fasttext
import pytest

from quality_filter.classifier import LinearClassifier
from quality_filter.examples import Example, document_examples
from quality_filter.settings import QualitySettings
from quality_filter.train import train_classifier
from tests.demo_text import html_pages, news, plays

SETTINGS = QualitySettings(epochs=5, buckets=2**16, pieces_per_document=12)


def order(key: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(key, digest_size=8, key=b"test").digest(), "big")


class Trained(NamedTuple):
    examples: list[Example]
    classifier: LinearClassifier
    fasttext_model: object
    progress: list[float]


@pytest.fixture(scope="session")
def examples() -> list[Example]:
    documents = [("news", True, text) for text in news()] + [("plays", False, text) for text in plays()]
    documents += [("web", False, text) for text in html_pages(20)]
    return [
        example
        for number, (source, positive, text) in enumerate(documents)
        for example in document_examples(number.to_bytes(16, "big"), source, positive, text, SETTINGS, order)
    ]


@pytest.fixture(scope="session")
def trained(examples, tmp_path_factory) -> Trained:
    path = tmp_path_factory.mktemp("fasttext") / "model.bin"
    progress: list[float] = []
    classifier = train_classifier(examples, SETTINGS, order, progress=progress.append, fasttext_model=path)
    return Trained(examples, classifier, fasttext.load_model(str(path)), progress)
