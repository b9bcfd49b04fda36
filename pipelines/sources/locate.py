"""From file patterns to files: paths, globs, and files that Python packages brought.

- `PATH` or a glob (`*`, `?`, `[…]`, `**`), local or on any file system of fsspec (`gs://…`, `s3://…`);
- `package:NAME/GLOB`: under the folder of an importable package, which is found but not imported;
- `distribution:NAME/GLOB`: among the files that an installed distribution lists, matched from the end of their paths,
  for one without a module.
"""

from __future__ import annotations

import glob
import importlib.metadata
import importlib.util
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from pipelines.sources.errors import SourceError
from pipelines.store.files import filesystem, is_local, local_path

_GLOB_CHARACTERS = frozenset("*?[")


def locate(patterns: Iterable[str]) -> list[str]:
    """Return the files that any of the patterns names, sorted, each once.

    A pattern that matches nothing adds nothing; the caller says so.

    Raises:
        SourceError: when a package or distribution is not installed.
    """
    return sorted({url for pattern in patterns for url in locate_pattern(pattern)})


def locate_pattern(pattern: str) -> list[str]:
    """Return the files that one pattern names, sorted.

    Raises:
        SourceError: when a package or distribution is not installed.
    """
    kind, colon, rest = pattern.partition(":")
    if colon and kind in ("package", "distribution"):
        name, _, within = rest.partition("/")
        if not name or not within:
            raise SourceError(f"{pattern}: write {kind}:NAME/GLOB, e.g. package:gensim/test/test_data/lee*.cor")
        return _in_package(name, within) if kind == "package" else _in_distribution(name, within)
    return _local(local_path(pattern)) if is_local(pattern) else _remote(pattern)


def fill_data(pattern: str, data: str) -> str:
    """Return a pattern with `{data}` replaced by a folder, whose own name is taken literally (`~` is the home)."""
    return fill_folder(pattern, "{data}", data)


def fill_folder(pattern: str, placeholder: str, folder: str) -> str:
    """Return a pattern with a placeholder replaced by a folder, whose own name is taken literally."""
    if is_local(folder):
        folder = glob.escape(str(Path(local_path(folder)).expanduser()))
    return pattern.replace(placeholder, folder)


def _local(pattern: str) -> list[str]:
    path = Path(pattern).expanduser()
    if path.is_file():
        return [str(path)]
    if not _GLOB_CHARACTERS & set(pattern):
        return []
    return _glob(Path(path.anchor), str(path.relative_to(path.anchor)))


def _glob(folder: Path, pattern: str) -> list[str]:
    return sorted(str(path) for path in folder.glob(pattern) if path.is_file())


def _remote(pattern: str) -> list[str]:
    remote, path = filesystem(pattern)
    found = remote.glob(path) if _GLOB_CHARACTERS & set(path) else [path]
    return sorted(remote.unstrip_protocol(name) for name in found if remote.isfile(name))


def _in_package(name: str, pattern: str) -> list[str]:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise _not_installed("package", name)
    return sorted({url for folder in spec.submodule_search_locations for url in _glob(Path(folder), pattern)})


def _in_distribution(name: str, pattern: str) -> list[str]:
    try:
        files = importlib.metadata.files(name) or []
    except importlib.metadata.PackageNotFoundError:
        raise _not_installed("distribution", name) from None
    # The paths are relative to site-packages and may begin with `../`, so patterns match from the right.
    matching = [Path(str(file.locate())).resolve() for file in files if PurePosixPath(file).match(pattern)]
    return sorted(str(path) for path in matching if path.is_file())


def _not_installed(kind: str, name: str) -> SourceError:
    return SourceError(
        f"{kind}:{name}: not installed in this environment; "
        f"install it, e.g. with the extra of the demo's texts: pip install '.[demo]'"
    )
