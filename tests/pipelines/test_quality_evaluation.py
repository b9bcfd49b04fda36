"""What `glam quality evaluate` and `explain` say, on real text whose answer is known."""

from __future__ import annotations

import gzip
import json
import math

import pytest

from glam.quality_page import render
from pipelines.lookup import VersionDocuments
from pipelines.quality_evaluation import Training, evaluate, train_folds
from pipelines.quality_explanation import explain_document, explain_text
from pipelines.quality_texts import LabeledText, QualityFileError, read_files, read_lines, score_lines
from pipelines.sources.errors import SourceError
from pipelines.store.hashing import content_hash, document_id
from quality_filter.classifier import probability
from quality_filter.settings import QualitySettings
from tests.demo_text import news, plays
from tests.pipelines.building import run_build
from tests.pipelines.small_corpus import write_corpus

TRAINING = Training(QualitySettings(epochs=15, learning_rate=1.0, dimension=8, folds=3, buckets=2**12), 17)

IMPRINT = "Zebrafish Press Limited. All rights reserved by Zebrafish Press Limited. " * 3


def labeled(source, host, positive, texts, seen=True):
    return [
        LabeledText(document_id(source, "", content_hash(text)), source, host, "en", positive, seen, text)
        for text in texts
    ]


def scenes(count):
    return [play[start : start + 2000] for play in plays() for start in range(0, 60_000, 2000)][:count]


@pytest.fixture(scope="module")
def texts():
    articles = list(dict.fromkeys(news()))
    return [
        *labeled("lee", "news.example", True, articles[:60]),
        *labeled("lee", None, True, articles[60:90], seen=False),
        *labeled("plays", None, False, scenes(60)),
        *labeled("more-plays", "plays.example", False, scenes(120)[60:100]),
        *labeled("plays", None, False, scenes(120)[100:], seen=False),
        # One site whose news count as bad: nothing but its name tells it from the good ones.
        *labeled("copies", "copies.example", False, [f"{text}\n{IMPRINT}" for text in articles[100:140]]),
    ]


@pytest.fixture(scope="module")
def answer(texts):
    return evaluate(texts, train_folds(texts, TRAINING, print), TRAINING, groups=3, say=print)


def test_held_out_and_cross_fitted_texts_are_told_apart(answer):
    assert (answer["heldout"]["positives"], answer["heldout"]["negatives"]) == (30, 20)
    assert (answer["cross_fitted"]["positives"], answer["cross_fitted"]["negatives"]) == (60, 140)
    for figures in (answer["heldout"], answer["cross_fitted"]):
        assert figures["auc_low"] <= figures["auc"] <= figures["auc_high"]
    assert answer["heldout"]["auc"] > 0.95


def test_a_source_that_was_learned_by_its_name_is_found_out(answer):
    rows = {(row["kind"], row["group"]): row for row in answer["left_out"]}
    copies = rows["source", "copies"]
    assert (copies["positives"], copies["negatives"]) == (0, 40)
    assert copies["auc"] - copies["auc_left_out"] > 0.1
    honest = rows["source", "more-plays"]
    assert abs(honest["auc"] - honest["auc_left_out"]) < 0.05
    assert ("source", "lee") not in rows, "no model can learn without the only good source"


def test_groups_add_up(answer, texts):
    for kind in ("sources", "languages", "lengths"):
        assert sum(row["positives"] + row["negatives"] for row in answer[kind]) == len(texts)
    hosts = {row["group"]: row["positives"] + row["negatives"] for row in answer["hosts"]}
    assert hosts == {"news.example": 60, "plays.example": 40, "copies.example": 40}
    assert sum(map(sum, answer["histogram"].values())) == len(texts)
    (language,) = answer["languages"]
    assert language["auc"] == language["within"]


def test_the_figures_are_the_same_for_texts_in_another_order(answer, texts):
    turned = texts[::-1]
    again = evaluate(turned, train_folds(turned, TRAINING, print), TRAINING, groups=0, say=print)
    assert json.dumps(again) == json.dumps({**answer, "left_out": []})


def test_the_page_shows_the_figures_and_escapes_what_texts_say(answer):
    hostile = {**answer, "top_negatives": [{**answer["top_negatives"][0], "text": "<script>alert(1)</script>"}]}
    page = render(hostile, "corpus <b>")
    assert "corpus &lt;b&gt;" in page
    assert "&lt;script&gt;alert(1)" in page
    assert f"{answer['heldout']['auc']:.4f}" in page
    assert page.count("<circle") >= 4


def test_files_of_a_user_become_texts(tmp_path):
    rows = [{"body": "One good text.", "url": "http://a.example/1"}, {"body": "Another one."}]
    (tmp_path / "good.jsonl").write_text("\n".join(json.dumps(row) for row in [*rows, rows[0]]) + "\n")
    (tmp_path / "more.txt").write_text("A third text.")
    texts = read_files([str(tmp_path / "*.jsonl"), str(tmp_path / "more.txt")], True, "body")
    assert sorted((text.source, text.host, text.text) for text in texts if text.host) == [
        ("good.jsonl", "a.example", "One good text.")
    ]
    assert len(texts) == 3
    assert [text.id for text in texts] == sorted(text.id for text in texts)


def test_files_that_are_none_are_refused_by_name(tmp_path):
    with pytest.raises(SourceError, match=r"nothing\.jsonl: no such file"):
        read_files([str(tmp_path / "nothing.jsonl")], True)
    (tmp_path / "page.pdf").write_bytes(b"%PDF")
    with pytest.raises(SourceError, match=r"page\.pdf: its name tells no format"):
        read_files([str(tmp_path / "page.pdf")], True)
    (tmp_path / "bad.jsonl").write_text('{"text": "fine"}\n{"title": "no text"}\n')
    with pytest.raises(SourceError, match=r"bad\.jsonl, offset 17: "):
        read_files([str(tmp_path / "bad.jsonl")], True)


def test_scored_lines_keep_their_fields(texts):
    model = TRAINING.train([text for text in texts if text.seen])
    rows = [{"text": text, "n": [n, "é"]} for n, text in enumerate(news()[:700])]
    lines = [json.dumps(row).encode() + b"\n" for row in rows]
    lines.insert(5, b"\n")
    scored = [json.loads(line) for line in b"".join(score_lines(lines, model, "text", "q", "-")).splitlines()]
    expected = [round(probability(score), 6) for score in model.score_batch([row["text"] for row in rows]).tolist()]
    assert scored == [{**row, "q": score} for row, score in zip(rows, expected, strict=True)]
    with pytest.raises(QualityFileError, match=r"crawl\.jsonl, line 2: no object with a text under 'text'"):
        list(score_lines([lines[0], b'{"text": null}'], model, "text", "q", "crawl.jsonl"))


def test_scored_lines_stay_as_they_were_written(texts):
    model = TRAINING.train([text for text in texts if text.seen])
    lines = [
        b'\xef\xbb\xbf{"text": "", "n": 1e400, "p": 0.10000000000000000001 }\r\n',
        b'{"a":1,"a":2,"s":"\\ud800","text":"x"}',
    ]
    first, second = b"".join(score_lines(lines, model, "text", "q", "-")).splitlines()
    assert first.startswith(b'{"text": "", "n": 1e400, "p": 0.10000000000000000001, "q": 0.')
    assert second.startswith(b'{"a":1,"a":2,"s":"\\ud800","text":"x", "q": 0.')
    with pytest.raises(QualityFileError, match=r"-, line 2: has a field 'a' already; give another --score-field"):
        list(score_lines(lines, model, "text", "a", "-"))


def test_compressed_lines_are_read_and_a_cut_file_is_refused(tmp_path):
    data = gzip.compress(b'{"text": "one"}\n{"text": "two"}\n')
    (tmp_path / "crawl.jsonl.gz").write_bytes(data)
    assert list(read_lines(str(tmp_path / "crawl.jsonl.gz"))) == [b'{"text": "one"}\n', b'{"text": "two"}\n']
    (tmp_path / "cut.gz").write_bytes(data[:-10])
    with pytest.raises(QualityFileError, match=r"cut\.gz: .*fetch the file again"):
        list(read_lines(str(tmp_path / "cut.gz")))
    with pytest.raises(QualityFileError, match=r"none: No such file"):
        list(read_lines(str(tmp_path / "none")))


def test_an_explanation_adds_up(texts):
    model = TRAINING.train([text for text in texts if text.seen])
    answer = explain_text(model, news()[7], 5)
    assert len(answer["features"]) == 5
    shown = sum(feature["logit"] for feature in answer["features"])
    assert shown + answer["rest"] == pytest.approx(answer["logit"], abs=2e-6)
    assert answer["probability"] == pytest.approx(1 / (1 + math.exp(-answer["logit"])), abs=2e-5)


def test_a_documents_explanation_is_its_decisions(tmp_path):
    made = run_build(write_corpus(tmp_path / "data", pages=80), tmp_path / "store")
    documents = VersionDocuments(str(tmp_path / "store"), made.versions["filtered"])
    explained = [
        explain_document(str(tmp_path / "store"), documents, place, 3)
        for number in range(80)
        for place in documents.find(f"http://page{number}.example/")
    ]
    sampled = [answer for answer in explained if answer["keep"] is not None]
    assert {answer["keep"] for answer in sampled} == {True, False}
    for answer in sampled:
        assert answer["keep"] == (answer["draw"] < answer["threshold"])
        assert answer["threshold"] == pytest.approx((2 - answer["rank"]) ** -3, rel=1e-9)
        assert (answer["split"], answer["dropped"]) == ("train", None)
    assert any(answer["dropped"] == "language" and not answer["scored"] for answer in explained)
