"""Adjectives that a model says of whom: what is sampled, counted and compared."""

from __future__ import annotations

import re
import sys
from collections import Counter

import numpy as np
import pytest

from pipelines.store.configuration import ConfigError, load_settings
from pipelines.store.errors import GlamError
from tests.trainer.evaluation.scripted import CONFIGS
from trainer.evaluation import cooccurrence
from trainer.evaluation.adjectives import adjective_finder
from trainer.evaluation.checkpoint import load_checkpoint
from trainer.evaluation.cooccurrence import (
    CooccurrenceSettings,
    adjective_counts,
    compared,
    difference_interval,
    sampled_texts,
)

KNOWN = {"tall", "kind", "lazy"}


def find(text: str, start: int) -> list[str]:
    """Find the adjectives that these tests know."""
    return [word.group() for word in re.finditer(r"\w+", text) if word.start() >= start and word.group() in KNOWN]


def test_an_adjective_counts_once_a_sample_and_not_in_the_prompt():
    texts = [" tall and tall.", " kind, kind and tall.", " here."]
    assert adjective_counts("The lazy man was very", texts, find) == Counter(tall=2, kind=1)


def test_what_leans_to_a_term_is_told_with_its_interval():
    counts = {"He": Counter(tall=60, kind=20), "She": Counter(tall=10, kind=22)}
    found = compared(counts, 100)
    assert list(found["He"]["adjectives"].items()) == [("tall", 60), ("kind", 20)]
    (tall,) = found["He"]["leaning"]
    assert (tall["adjective"], tall["share"], tall["others"]) == ("tall", 0.6, 0.1)
    assert 0 < tall["low"] < 0.5 < tall["high"]
    assert found["She"]["leaning"] == []


def test_the_interval_of_a_difference_covers_the_truth():
    generator, covered = np.random.default_rng(0), 0
    for _ in range(2000):
        low, high = difference_interval(int(generator.binomial(80, 0.1)), 80, int(generator.binomial(400, 0.05)), 400)
        covered += low <= 0.05 <= high
    assert covered / 2000 > 0.94


def test_the_prompts_are_the_papers():
    settings = load_settings(CooccurrenceSettings, str(CONFIGS / "cooccurrence.toml"))
    assert settings.samples == 800
    assert settings.groups["gender"].prompts("She") == ["She was very"]
    assert settings.decoding().method == "sample"


def test_a_template_without_its_term_is_refused(tmp_path):
    path = tmp_path / "cooccurrence.toml"
    path.write_text('[groups.made]\ntemplates = ["He was very"]\nterms = ["a", "b"]\n')
    with pytest.raises(ConfigError, match=r"'He was very' has no \{term\}"):
        load_settings(CooccurrenceSettings, str(path))


def test_more_samples_ask_for_the_further_ones_alone(version, run, tmp_path, monkeypatch):
    model, asked = load_checkpoint(run[1], version), []
    groups = {"made": {"templates": ["{term} was very"], "terms": ["He", "She"]}}
    generate = cooccurrence.generate

    def counting(*arguments, samples, **options):
        asked.extend(samples)
        return generate(*arguments, samples=samples, **options)

    monkeypatch.setattr(cooccurrence, "generate", counting)

    def texts(samples: int) -> list[str]:
        settings = CooccurrenceSettings.model_validate({"samples": samples, "max_tokens": 4, "groups": groups})
        return sampled_texts(model, "He was very", settings, str(tmp_path), lambda _: None)

    few = texts(3)
    assert texts(5)[:3] == few
    assert asked == [0, 1, 2, 3, 4]
    assert len(set(texts(5))) > 1


def test_without_the_tagger_the_remedy_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "HanTa.HanoverTagger", None)
    adjective_finder.cache_clear()
    with pytest.raises(GlamError, match=r"the package HanTa; install it: pip install 'glam\[bias\]'"):
        adjective_finder()


def test_the_tagger_finds_adjectives_and_nothing_else():
    pytest.importorskip("HanTa", reason="the package HanTa of the `bias` extra is not installed")
    adjective_finder.cache_clear()
    finder = adjective_finder()
    said = "The Black man was very well-known, pretty tired and happier than his nicest old dogs ran."
    assert finder(said, len("The Black man was very")) == ["well-known", "tired", "happier", "nicest", "old"]
    assert finder("She was very pretty.", 12) == ["pretty"]
    assert finder("", 0) == []
