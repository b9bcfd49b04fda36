"""The identity of a stage's code: what its own modules say, without comments, docstrings and formatting.

A stage's fingerprint contains the hash of its module and of every module of this project that it imports, directly or
not, also inside functions. So a change of code that could change bytes runs the stage again, and a change of a
comment does not. Modules are read as source, never imported.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NEVER_IN_BYTES = frozenset(
    {"pipelines.config", "pipelines.engine", "pipelines.job", "pipelines.progress", "pipelines.store.configuration"}
)
"""Modules that read, validate, run and show but decide no byte: what a configuration says is in the recipe."""

PACKAGES = ("glam", "pipelines", "quality_filter", "tokenizer", "trainer")


@cache
def code_identity(*modules: str) -> str:
    """Return the sha256 (hex) over `modules` and all the modules of this project that they import, in order of name."""
    state = hashlib.sha256()
    for name in sorted(_closure(modules)):
        state.update(f"{name}\0{_normalized_hash(name)}\n".encode())
    return state.hexdigest()


def _closure(modules: tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        if name in NEVER_IN_BYTES:
            continue
        found.add(name)
        waiting.extend(_imports(name))
    return found


def _source_path(name: str) -> Path | None:
    base = ROOT.joinpath(*name.split("."))
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@cache
def _syntax_tree(name: str) -> ast.Module:
    path = _source_path(name)
    if path is None:
        raise ModuleNotFoundError(f"{name} is not a module of this project under {ROOT}")
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    tree.body = [node for node in tree.body if not _runs_as_program(node)]
    return tree


def _runs_as_program(node: ast.stmt) -> bool:
    """Tell whether a statement is `if __name__ == "__main__":`, which an import skips."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


@cache
def _imports(name: str) -> frozenset[str]:
    """Return the project's modules that module `name` imports."""
    found: set[str] = set()
    for node in ast.walk(_syntax_tree(name)):
        if isinstance(node, ast.Import):
            candidates = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            candidates = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found.update(c for c in candidates if c.split(".")[0] in PACKAGES and _source_path(c) is not None)
    return frozenset(found)


@cache
def _normalized_hash(name: str) -> str:
    tree = ast.parse(ast.unparse(_syntax_tree(name)))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and body
            and _is_docstring(body[0])
        ):
            node.body = body[1:]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
