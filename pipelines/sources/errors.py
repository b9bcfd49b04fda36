"""The one error of the readers: a source cannot be read at all."""

from __future__ import annotations

from pipelines.store.errors import GlamError


class SourceError(GlamError):
    """A source cannot be read: the message names the file or package, the reason and the remedy.

    A bad record never raises it: it is quarantined, and the reader goes on.
    """
