"""Encoding loses nothing, and every id stands for a known number of bytes."""

from __future__ import annotations

import io

import numpy as np
import pytest
import sentencepiece
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.demo_text import html_pages
from tokenizer.encode import Encoder
from tokenizer.settings import DOCUMENT_START_ID, PADDING_ID, UNKNOWN_ID

TEXT = st.text(
    st.characters(exclude_categories=["Cs"])
    | st.sampled_from(" \n\t\r\u2581\u00a0\0")
    | st.sampled_from("<s></s><unk><pad><0x0A>the "),
    max_size=60,
)


def assert_lossless(encoder: Encoder, texts: list[str]) -> None:
    encoded = encoder.encode_batch(texts)
    piece_bytes = encoder.piece_bytes()
    for text, ids in zip(texts, encoded, strict=True):
        assert encoder.decode(ids) == text
        assert int(piece_bytes[ids].sum()) == len(text.encode())
        assert not np.isin(ids, (PADDING_ID, UNKNOWN_ID, DOCUMENT_START_ID)).any()


@settings(max_examples=300)
@given(texts=st.lists(TEXT, max_size=4))
@example(
    texts=["", "\n", "a\n\n\nb\tc   d  ", "\u2581 \u2581\u2581x", "</s><pad><unk><0x0A>", "\ufeff\0\x1f", "e\u0301ﬁＡ"]
)
def test_any_text_comes_back_byte_for_byte(encoder, texts):
    assert_lossless(encoder, texts)


def test_real_pages_come_back_byte_for_byte(encoder):
    assert_lossless(encoder, html_pages(40))


def test_a_batch_gives_the_ids_of_its_texts(encoder, texts):
    batch = [*texts[:5], "\u2581", ""]
    assert [ids.tolist() for ids in encoder.encode_batch(batch)] == [
        encoder.encode_batch([text])[0].tolist() for text in batch
    ]


def test_ids_are_small_unsigned_integers(encoder, texts):
    assert encoder.dtype == np.uint16
    assert {ids.dtype for ids in encoder.encode_batch([*texts[:3], "\u2581"])} == {np.dtype(np.uint16)}
    assert (encoder.padding_id, encoder.document_start_id) == (PADDING_ID, DOCUMENT_START_ID)
    assert encoder.piece_bytes().shape == (encoder.vocabulary_size,)


def lossy_model(**options) -> bytes:
    lines = ["some words to train on, enough of them for a small vocabulary"] * 3
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, minloglevel=2, hard_vocab_limit=False, **options
    )
    return model.getvalue()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"vocab_size": 40, "pad_id": 3}, "has no byte tokens"),
        ({"vocab_size": 300, "byte_fallback": True}, "no padding"),
        ({"vocab_size": 300, "byte_fallback": True, "pad_id": 3}, "bits per byte would be wrong"),
        (
            {"vocab_size": 300, "byte_fallback": True, "pad_id": 3, "normalization_rule_name": "identity"},
            "bits per byte would be wrong",
        ),
    ],
)
def test_a_model_that_loses_something_is_refused_by_name(options, reason):
    with pytest.raises(ValueError, match=rf"mine\.model: .*{reason}"):
        Encoder(lossy_model(**options), "mine.model")


def test_bytes_that_are_no_model_are_refused():
    with pytest.raises(ValueError, match=r"mine\.model: not a SentencePiece model"):
        Encoder(b"\xff\xff not a model", "mine.model")
