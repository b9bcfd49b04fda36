"""What a training draws from, and when it would read too much of it."""

import json

import pytest

from pipelines.store.configuration import ConfigError
from pipelines.store.versions import Version
from trainer.config import TrainingConfig
from trainer.data import Records, TrainingData
from trainer.mixture import check_repetition, training_weights
from trainer.run_folder import run_identity


def config(steps=10, mixture=None):
    return TrainingConfig(version="x", mixture=mixture or {}, training={"steps": steps, "batch_rows": 8})


def with_limits(version, **limits):
    manifest = json.loads(json.dumps(version.manifest))
    manifest["side"]["mixture_limits"] = limits
    return Version(version.url, manifest)


def test_weights_are_the_versions_unless_the_training_has_its_own(version):
    assert training_weights(version, config()) == {"books": 0.2, "web": 0.8}
    assert training_weights(version, config(mixture={"books": 1, "web": 3})) == {"books": 0.25, "web": 0.75}
    with pytest.raises(ConfigError, match="version filtered has no component wob; it has books, web"):
        training_weights(version, config(mixture={"wob": 1}))


def test_a_training_on_one_component_reads_no_other(version):
    web = {record.tokens.tobytes() for record in Records(version.components["web"].shards, version.token_dtype)}
    data = TrainingData(version, 8, 0, training_weights(version, config(mixture={"web": 1})))
    assert all(record.tokens.tobytes() in web for step in range(10) for record in data.records(step))


def test_a_mixture_is_part_of_a_runs_identity(version):
    assert run_identity(version.id, config(), 0) != run_identity(version.id, config(mixture={"web": 1}), 0)


def books_alone(version, epochs):
    """A training that reads the books, and nothing else, at most so often."""
    return config(version.components["books"].tokens * epochs // (8 * version.sequence_length), {"books": 1})


def test_epochs_are_warned_of_and_refused_with_the_steps_that_are_allowed(version):
    allowed = books_alone(version, 16)
    (warning,) = check_repetition(version, allowed)
    assert warning.startswith("component books: 1")
    assert "over warn_epochs = 4" in warning
    assert not check_repetition(version, books_alone(version, 4))
    message = rf"component books: \d+\.\d+ epochs .*max_epochs = 16\. Set it to {allowed.training.steps} or less"
    with pytest.raises(ConfigError, match=message):
        check_repetition(version, books_alone(version, 30))


def test_the_limits_are_those_of_the_corpus_configuration(version):
    wanted = books_alone(version, 5)
    assert check_repetition(version, wanted)
    assert not check_repetition(with_limits(version, warn_epochs=6, max_epochs=8), wanted)
    with pytest.raises(ConfigError, match="max_epochs = 2"):
        check_repetition(with_limits(version, warn_epochs=1, max_epochs=2), wanted)
