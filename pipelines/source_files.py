"""Which files each source of a configuration has, and their sha256.

In: the sources' patterns. Out: urls by source, hashed unless the store remembers them.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pipelines.config import CorpusConfig
from pipelines.corpus import Corpus
from pipelines.input_digests import InputDigests
from pipelines.sources.errors import SourceError
from pipelines.sources.locate import fill_data, locate_pattern
from pipelines.store.files import is_folder

T = TypeVar("T")


def find_files(config: CorpusConfig) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return the files of each source, and the patterns that matched nothing.

    Raises:
        SourceError: when no pattern of any source matches a file, or one names a folder.
    """
    files: dict[str, list[str]] = {}
    missing: dict[str, list[str]] = {}
    for source, settings in config.sources.items():
        urls: set[str] = set()
        for pattern in settings.files:
            found = locate_pattern(fill_data(pattern, config.data))
            urls.update(found)
            if not found and is_folder(fill_data(pattern, config.data)):
                raise SourceError(
                    f"source {source}: {fill_data(pattern, config.data)} is a folder; name the files in it (DIR/*), or "
                    "put the file back"
                )
            if not found:
                missing.setdefault(source, []).append(pattern)
        if urls:
            files[source] = sorted(urls)
    if not files:
        raise SourceError(
            f"no file matches any pattern of the configuration {config.name!r} (data = {config.data!r}); "
            "give the folder with --set data=DIR"
        )
    return files, missing


def digest_files(corpus: Corpus, files: dict[str, list[str]]) -> dict[str, str]:
    """Return the sha256 of every input file by url; what the store remembers is not read again."""
    urls = sorted({url for urls in files.values() for url in urls})
    display, known = corpus.engine.display, InputDigests(corpus.store.url, corpus.rehash)
    display.start("hash input files", len(urls), "files")

    def digest(url: str) -> str:
        return readable(url, known.remembered) or readable(url, known.read)

    digests = {}
    with ThreadPoolExecutor(4) as pool:
        for url, sha256 in zip(urls, pool.map(digest, urls), strict=True):
            digests[url] = sha256
            display.move(len(digests))
    known.save()
    display.finish()
    return digests


def readable(url: str, read: Callable[[str], T]) -> T:
    """Read of a file, or tell that it cannot be read."""
    try:
        return read(url)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SourceError(f"{url}: cannot be read ({reason}); mend it or take it out of the source's files") from error
