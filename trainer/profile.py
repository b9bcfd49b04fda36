"""A trace by JAX's profiler of some updates of a run, in RUN/profile; TensorBoard, XProf and Perfetto show it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import jax

from pipelines.store.errors import GlamError


class Profile(NamedTuple):
    """The updates to trace, the first and the last."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> Profile:
        """Read `N` or `N:M`.

        Raises:
            GlamError: when it is neither, or the last is before the first.
        """
        found = re.fullmatch(r"(\d+)(?::(\d+))?", text)
        if not found or int(found[1]) == 0:
            raise GlamError(
                f"--profile {text}: give an update, counted from 1, or the first and the last, e.g. 20 or 20:25"
            )
        profile = cls(int(found[1]), int(found[2] or found[1]))
        if profile.last < profile.first:
            raise GlamError(
                f"--profile {text}: the last update, {profile.last}, is before the first, {profile.first}; "
                f"give FIRST:LAST, e.g. {profile.last}:{profile.first}"
            )
        return profile


class Tracer:
    """Traces the updates of a profile as the run passes them."""

    def __init__(self, run_dir: str, profile: Profile | None) -> None:
        self._folder, self._profile = Path(run_dir) / "profile", profile
        self._tracing = False

    def before(self, step: int) -> None:
        """Begin a trace if `step` is the first update to trace, or the first of them that this process makes."""
        if self._profile and not self._tracing and self._profile.first <= step <= self._profile.last:
            jax.profiler.start_trace(str(self._folder))
            self._tracing = True

    def after(self, step: int, made: Any) -> None:
        """End the trace once the last update to trace is `made`, an array or a tree of them."""
        if self._tracing and self._profile and step >= self._profile.last:
            jax.block_until_ready(made)
            self.close()

    def close(self) -> None:
        """Write what was traced, if a trace is under way; there is one trace a process."""
        if self._tracing:
            jax.profiler.stop_trace()
            self._tracing, self._profile = False, None
