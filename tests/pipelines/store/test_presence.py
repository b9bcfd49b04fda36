"""An address that is no store, and an object store that does not answer, are told with the address and the remedy."""

from __future__ import annotations

import sys

import pytest

from glam.main import main
from pipelines.store.files import StoreError, write_bytes
from pipelines.store.presence import require_store, silence, silence_told
from tests.faults.corpus import PLAIN, write_corpus

NOBODY = "http://127.0.0.1:9"
"""Of this machine, where nothing listens."""


def told(capsys, monkeypatch, *arguments):
    """Run a command that fails; return what it tells."""
    monkeypatch.setattr(sys, "argv", ["glam", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    return capsys.readouterr().err


@pytest.mark.parametrize("command", ["list", "gc"])
def test_a_folder_that_is_no_store_is_told_with_how_to_make_one(command, tmp_path, capsys, monkeypatch):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "none"):
        said = told(capsys, monkeypatch, command, "--store", folder)
        assert said.startswith(f"error: {folder}: is no store: it has none of stages, versions, leases; ")
        assert f"glam build configs/demo.toml --store {folder}" in said
    assert list(tmp_path.iterdir()) == [tmp_path / "empty"]
    write_bytes(str(tmp_path / "empty" / "leases" / "build-1.json"), b"{}")
    require_store(str(tmp_path / "empty"))


@pytest.fixture
def unreachable(monkeypatch):
    """The environment names a server that is not there."""
    s3fs = pytest.importorskip("s3fs", reason="s3fs reads and writes s3://")
    values = {"ENDPOINT_URL": NOBODY, "ACCESS_KEY_ID": "k", "SECRET_ACCESS_KEY": "s", "DEFAULT_REGION": "us-east-1"}
    for name, value in {**values, "MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    s3fs.S3FileSystem.clear_instance_cache()
    yield
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.usefixtures("unreachable")
@pytest.mark.parametrize("command", ["list", "gc", "verify", "explain", "build"])
def test_a_server_that_cannot_be_reached_is_told_with_address_and_remedy(command, tmp_path, capsys, monkeypatch):
    arguments = {"verify": ["all"], "explain": ["all", "http://site.example/"]}.get(command, [])
    if command == "build":
        arguments = [write_corpus(tmp_path / "data", PLAIN)]
    said = told(capsys, monkeypatch, command, *arguments, "--store", "s3://corpora/store")
    assert said.splitlines()[-1].startswith("error: s3://corpora/store/")
    assert f"the object store at {NOBODY} does not answer; check the address, AWS_ENDPOINT_URL and the network" in said
    assert "run the same command again, it goes on after the last finished stage" in said
    assert "Traceback" not in said


def test_what_the_client_says_is_told_with_the_address_that_was_asked_for():
    exceptions = pytest.importorskip("botocore.exceptions", reason="s3fs brings botocore")
    for url, address in (
        ("https://corpora.s3.eu-central-1.amazonaws.com/store/versions/x/manifest.json", "s3://corpora/store/versions"),
        (
            "http://host:9000/corpora?list-type=2&prefix=store%2Fversions%2F&delimiter=%2F",
            "s3://corpora/store/versions",
        ),
        ("http://host:9000/", "s3://"),
    ):
        for kind in ("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError"):
            error = getattr(exceptions, kind)(endpoint_url=url)
            assert str(silence(f"{error} [while running 'Read files']")).startswith(address)
            with pytest.raises(StoreError, match="does not answer"), silence_told():
                raise error
    with pytest.raises(StoreError, match=r"there are no credentials .* set AWS_ACCESS_KEY_ID"), silence_told():
        raise exceptions.NoCredentialsError


def test_other_errors_are_left_as_they_are():
    for error in (StoreError("mine"), ValueError("no endpoint URL"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as raised, silence_told():
            raise error
        assert raised.value is error
