"""Leases: what keeps a clean-up of a store and the builds that write into it apart. They need no locks, so an object
store will do, whose listings show what was written before.

A build writes `STORE/leases/build-….json` when it begins, writes it again every minute, and removes it at its end. A
clean-up writes `clean-….json` in the same way. Each looks for the other's kind after it wrote its own and gives way;
so whatever the timing, at most one of the two goes on. Builds do not mind one another. A lease that nobody renewed for
ten minutes, or whose process on this machine is gone, is that of a build that was killed: it counts for nothing.
"""

from __future__ import annotations

import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

from pipelines.store.errors import GlamError
from pipelines.store.files import StoreError, delete_file, join, read_json, sizes_under, write_json

Kind = Literal["build", "clean"]

RENEWED_SECONDS = 60.0
EXPIRES_SECONDS = 600.0
MOST_PROCESSES = (1 << 31) - 1
"""The largest number that a process can have."""

_OTHER: dict[Kind, Kind] = {"build": "clean", "clean": "build"}
_REMEDY: dict[Kind, str] = {
    "build": "`glam gc --delete` runs on this store; start the build when it has ended",
    "clean": "a build runs on this store; delete when it has ended",
}


@contextmanager
def lease(store_url: str, kind: Kind) -> Iterator[None]:
    """Hold a lease of a store while the context is open.

    Raises:
        GlamError: when the other kind holds one.
    """
    url = join(store_url, "leases", f"{kind}-{uuid.uuid4().hex}.json")
    facts = {"kind": kind, "host": socket.gethostname(), "process": os.getpid()}
    stop = threading.Event()
    write_json(url, facts | {"renewed": time.time()})
    thread = threading.Thread(target=_renew, args=(url, facts, stop), daemon=True)
    thread.start()
    try:
        if others := holders(store_url, _OTHER[kind]):
            named = ", ".join(f"process {other['process']} on {other['host']}" for other in others)
            raise GlamError(f"{store_url}: {_REMEDY[kind]} ({named})")
        yield
    finally:
        stop.set()
        thread.join()
        delete_file(url)


def _renew(url: str, facts: dict[str, Any], stop: threading.Event) -> None:
    while not stop.wait(RENEWED_SECONDS):
        with suppress(Exception):  # the work itself will tell what is wrong with the store, whatever its client raises
            write_json(url, facts | {"renewed": time.time()})


def holders(store_url: str, kind: Kind) -> list[dict[str, Any]]:
    """Return what the leases of a kind say that are in force."""
    return [facts for name, facts in _leases(store_url) if name.startswith(f"{kind}-") and _in_force(facts)]


def left_behind(store_url: str) -> list[str]:
    """Return the urls of the leases whose holder was killed."""
    return [join(store_url, "leases", name) for name, facts in _leases(store_url) if not _in_force(facts)]


def _leases(store_url: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and content of every lease; one that cannot be read says nothing."""
    folder = join(store_url, "leases")
    for name in sorted(sizes_under(folder)):
        if name.endswith(".json"):
            try:
                facts = read_json(join(folder, name))
            except FileNotFoundError:  # it ended meanwhile
                continue
            except StoreError:
                facts = {}
            yield name, facts if isinstance(facts, dict) else {}


def _in_force(facts: dict[str, Any]) -> bool:
    """Tell whether a lease is held; one whose entries are not of the types that `lease` writes is not."""
    host, process, renewed = (facts.get(name) for name in ("host", "process", "renewed"))
    if not (isinstance(host, str) and type(process) is int and 0 < process <= MOST_PROCESSES):
        return False
    if not (isinstance(renewed, float) and math.isfinite(renewed)) or time.time() - renewed > EXPIRES_SECONDS:
        return False
    return host != socket.gethostname() or not process_is_gone(process)


def process_is_gone(process: int) -> bool:
    """Tell whether no process of this machine has this number (1 … MOST_PROCESSES)."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it runs, and is another user's
        return False
    return False
