"""The classifier's models by fold: where they are, and which of them scores a document. It imports no Beam.

A document's fold is hash(seed, `fold`, key) mod folds; the key is the host of its url for documents of scored
components that have one, else its id.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from pipelines.documents import ids_of
from pipelines.store.errors import GlamError
from pipelines.store.files import read_bytes
from pipelines.store.hashing import KeyedHash
from quality_filter.classifier import LinearClassifier


class ClassifierError(GlamError):
    """There is nothing to learn from, or a model cannot be read; the message names the place and the remedy."""


def model_path(fold: int) -> str:
    """Return the path of a fold's model in its stage."""
    return f"models/fold-{fold:02d}.model"


class Folds:
    """The fold of a document: whose model scores it."""

    def __init__(self, seed: int, folds: int) -> None:
        self._draw, self._folds = KeyedHash(seed, "fold"), folds

    def of(self, ids: np.ndarray, hosts: Iterable[str | None]) -> np.ndarray:
        """Return the fold, in [0, folds), of each document: by its host where one is given, else by its id (V16)."""
        keys = (host.encode() if host else bytes(identifier) for identifier, host in zip(ids, hosts, strict=True))
        return np.array([self._draw(key) % self._folds for key in keys], np.int8)

    def of_sample(self, table: pa.Table, scored: Container[str]) -> np.ndarray:
        """Return the fold of each row of a sample; `scored` are the sources whose hosts stay together."""
        ids = ids_of(table.column("id").combine_chunks())
        return self.of(
            ids, hosts_together(table.column("source").to_pylist(), table.column("host").to_pylist(), scored)
        )


def hosts_together(sources: Iterable[str], hosts: Iterable[str | None], scored: Container[str]) -> Iterator[str | None]:
    """Yield the host of each document whose site has one fold, None for the others."""
    return (host if source in scored else None for source, host in zip(sources, hosts, strict=True))


def host_of(url: str | None) -> str | None:
    """Return the host that a url names; None where it names none."""
    try:
        return urlsplit(url).hostname if url else None
    except ValueError:  # an unfinished IPv6 address
        return None


def read_classifier(url: str) -> LinearClassifier:
    """Read a model file.

    Raises:
        ClassifierError: when it is missing, damaged or none.
    """
    try:
        return LinearClassifier.from_bytes(read_bytes(url), url)
    except OSError as error:
        raise ClassifierError(f"{url}: cannot be read ({error.strerror or error}); give a model file") from error
    except ValueError as error:
        raise ClassifierError(str(error)) from error
