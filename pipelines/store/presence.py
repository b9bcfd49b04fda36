"""Is there a store at an address, and does its object store answer? What to tell where not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

from pipelines.store.errors import GlamError
from pipelines.store.files import StoreError, is_folder, join

_FOLDERS = ("stages", "versions", "leases")
"""A folder with one of these is a store: a build makes the last one first."""
_ENDPOINT = re.compile(r'endpoint URL: "(https?://[^"]+)"')
_BUCKET_HOST = re.compile(r"(.+?)\.s3[.-]")
_NO_CREDENTIALS = "Unable to locate credentials"


def require_store(store_url: str) -> None:
    """Refuse a folder that is not there, or that no build ever wrote into.

    Raises:
        StoreError: with the folder and the remedy.
    """
    if not any(is_folder(join(store_url, name)) for name in _FOLDERS):
        raise StoreError(
            f"{store_url}: is no store: it has none of {', '.join(_FOLDERS)}; name a store with --store, or make this "
            f"one: glam build configs/demo.toml --store {store_url}"
        )


@contextmanager
def silence_told() -> Iterator[None]:
    """Tell of an object store that does not answer inside, or not without credentials, as an error meant for the user.

    Raises:
        StoreError: in the place of what the client of the object store raised.
    """
    try:
        yield
    except GlamError:
        raise
    except Exception as error:
        if (told := silence(str(error))) is None:
            raise
        raise StoreError(told) from error


def silence(message: str) -> str | None:
    """Return address and remedy where an object store's client says that it got no answer; None of other messages."""
    if found := _ENDPOINT.search(message):
        server = urlsplit(found[1])
        return (
            f"{_address(found[1])}: the object store at {server.scheme}://{server.netloc} does not answer; check the "
            "address, AWS_ENDPOINT_URL and the network, then run the same command again, it goes on after the last "
            "finished stage"
        )
    if _NO_CREDENTIALS in message:
        return (
            "s3://: there are no credentials for the object store; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
            "AWS_PROFILE, and run the same command again"
        )
    return None


def _address(request: str) -> str:
    """Return the s3:// address that a request is about: its bucket stands in the host or in the path."""
    url = urlsplit(request)
    host = _BUCKET_HOST.match(url.netloc)
    parts = ((host[1] if host else ""), url.path, *parse_qs(url.query).get("prefix", ()))
    return "s3://" + "/".join(part.strip("/") for part in parts if part.strip("/"))
