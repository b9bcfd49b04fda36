"""What tests share: the small corpus, built once; what JAX compiles, compiled once for all processes."""

import os
import shutil
import sys
import tempfile
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

COMPILED = "JAX_COMPILATION_CACHE_DIR"
FOLDER = pytest.StashKey[str]()


def pytest_configure(config):
    """Give all processes of this run, and those that tests start, one folder of compiled programs."""
    if COMPILED not in os.environ:
        os.environ[COMPILED] = config.stash[FOLDER] = tempfile.mkdtemp(prefix="compiled-")
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"


def pytest_unconfigure(config):
    """Remove that folder where it was made."""
    if FOLDER in config.stash:
        shutil.rmtree(config.stash[FOLDER], ignore_errors=True)


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
