"""Figures by component, quality and language from records whose sums are known."""

from __future__ import annotations

import math

import pytest

from trainer.evaluation.domains import Entry, domain_figures, quality_bucket, quality_edges
from trainer.evaluation.heldout_documents import Labels
from trainer.evaluation.record_file import Record


def record(nats: float, size: int, load: list[list[int]] | None = None) -> Record:
    made = {"nats": nats, "tokens": 10, "words": 5, "bytes": size}
    return made if load is None else made | {"load": load, "dropped": [[1, 2]], "entropy": [5.0]}


def entries() -> list[Entry]:
    """Eight scored web pages in two languages, the better ones told with fewer nats; two plays; one other text."""
    pages = [
        Entry(
            record(80.0 - 4 * number, 40, [[20 - number, number]]),
            "pages",
            "web",
            False,
            Labels("de" if number % 4 == 3 else "en", number * 1000),
        )
        for number in range(8)
    ]
    plays = [Entry(record(30.0, 50, [[0, 20]]), "plays", "books", False, Labels("en", None)) for _ in range(2)]
    return [*pages, *plays, Entry(record(90.0, 40, [[10, 10]]), "letters", "", True)]


def test_a_bucket_has_the_bits_and_perplexities_of_its_sums():
    found = domain_figures(entries())
    web = found["component"]["web"]
    nats = sum(80.0 - 4 * number for number in range(8))
    assert (web["documents"], web["tokens"], web["words"], web["bytes"]) == (8, 80, 40, 320)
    assert web["bits_per_byte"]["score"] == pytest.approx(nats / math.log(2) / 320)
    assert web["token_perplexity"]["score"] == pytest.approx(math.exp(nats / 80))
    assert web["word_perplexity"]["score"] == pytest.approx(math.exp(nats / 40))
    for metric in ("bits_per_byte", "token_perplexity", "word_perplexity"):
        assert web[metric]["low"] < web[metric]["score"] < web[metric]["high"]
        assert web[metric]["n"] == 8
    letters = found["out_of_domain"]["letters"]
    assert letters["bits_per_byte"] == {
        "score": pytest.approx(90 / math.log(2) / 40),
        "low": None,
        "high": None,
        "n": 1,
        "deviation": None,
    }


def test_every_document_in_domain_is_in_one_bucket_of_each_kind():
    found = domain_figures(entries())
    for kind in ("component", "quality", "language"):
        assert sum(bucket["documents"] for bucket in found[kind].values()) == found["in_domain"]["documents"] == 10
        assert sum(bucket["bytes"] for bucket in found[kind].values()) == found["in_domain"]["bytes"]
    crossed = [bucket for buckets in found["component_quality"].values() for bucket in buckets.values()]
    assert sum(bucket["documents"] for bucket in crossed) == 10
    assert {name: bucket["documents"] for name, bucket in found["language"].items()} == {"de": 2, "en": 8}


def test_quality_is_told_by_quarters_of_the_scored_documents_and_who_has_no_score():
    found = domain_figures(entries())
    quarters = {f"{number} of 4": 2 for number in range(1, 5)}
    assert {name: bucket["documents"] for name, bucket in found["quality"].items()} == quarters | {"unscored": 2}
    assert found["unscored"] == ["books"]
    assert found["scores"]["1 of 4"] == [0, 1000 / 65536]
    assert set(found["component_quality"]["web"]) == set(quarters)
    assert set(found["component_quality"]["books"]) == {"unscored"}
    scores = [bucket["bits_per_byte"]["score"] for name, bucket in sorted(found["quality"].items()) if name in quarters]
    assert scores == sorted(scores, reverse=True)


def test_equal_scores_are_in_one_bucket():
    edges = quality_edges([5] * 6 + [9, 9])
    assert {quality_bucket(score, edges) for score in (5, 9)} == {"3 of 4", "4 of 4"}
    assert quality_edges([]) == []
    assert quality_bucket(None, []) == "unscored"


def test_experts_are_told_by_bucket_beside_all_text_in_domain():
    found = domain_figures(entries())
    whole, books = found["in_domain"]["routing"], found["component"]["books"]["routing"]
    assert whole["load"] == [[132 / 200, 68 / 200]]
    assert whole["moved"] == [0]
    assert books["load"] == [[0, 1]]
    assert books["moved"] == [0.66]
    assert books["dropped"] == [[0.1, 0.2]]
    assert books["entropy"] == [0.5]


def test_a_dense_model_has_no_routing():
    dense = [Entry(record(30.0, 50), "plays", "books", False, Labels("en", None)) for _ in range(2)]
    assert domain_figures(dense)["in_domain"]["routing"] is None
