"""The small corpus, built once for the tests that only look at it."""

import sys
from pathlib import Path

import pytest
from hypothesis import settings

from pipelines.build import build
from pipelines.config import load_corpus_config
from pipelines.progress import SilentDisplay
from pipelines.sources.errors import SourceError

settings.register_profile("machine", deadline=None)  # a busy machine is no failure
settings.load_profile("machine")

sys.path.insert(0, str(Path(__file__).parent / "pipelines"))


@pytest.fixture(scope="session")
def small_config(tmp_path_factory):
    """The configuration file of a small corpus of real text."""
    from small_corpus import write_corpus

    try:
        return write_corpus(tmp_path_factory.mktemp("small") / "data")
    except SourceError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def small_build(small_config, tmp_path_factory):
    """(build, store) of the small corpus, in this process with one worker."""
    store = tmp_path_factory.mktemp("small-store")
    return build(load_corpus_config(str(small_config)), str(store), [], SilentDisplay()), store
