"""A store on s3://, served over HTTP by moto: built, verified, listed, explained, read for training, cleaned up."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from building import bytes_of, run_build
from small_corpus import write_corpus

from glam.explain import explain_reference
from glam.garbage import collect_garbage
from glam.listing import describe_store
from glam.training import Wanted, run_training
from glam.verification import run_verification
from pipelines.sources.errors import SourceError
from pipelines.store.errors import GlamError
from pipelines.store.files import exists, filesystem, join, list_folders, write_bytes
from pipelines.store.versions import find_version
from trainer.data import TrainingData
from trainer.run_folder import read_run

SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.readline()
"""
STORE = "s3://corpora/store"
OVERRIDES = [
    "extract.shards=1",
    "pack.shards=1",
    "tokenizer.vocabulary_size=400",
    "quality.classifier.epochs=1",
    "versions={filtered={web='filtered'}}",
]
TRAINING = """
version = "filtered"
[model]
model_dim = 16
hidden_dim = 32
heads = 2
head_dim = 8
layers = 2
experts = 0
[training]
steps = 3
batch_rows = 4
"""


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """The log of a server with an empty bucket; the environment names the server while the module's tests run."""
    pytest.importorskip("moto", reason="moto serves the bucket")
    pytest.importorskip("s3fs", reason="s3fs reads and writes s3://")
    log = tmp_path_factory.mktemp("server") / "requests.log"
    with log.open("w") as errors, pytest.MonkeyPatch.context() as patch:
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.stdout.readline().strip()}")
        for name, value in (("ACCESS_KEY_ID", "key"), ("SECRET_ACCESS_KEY", "secret"), ("DEFAULT_REGION", "us-east-1")):
            patch.setenv(f"AWS_{name}", value)
        filesystem(STORE)[0].mkdir("corpora")
        yield log
        server.communicate("\n")


@pytest.fixture(scope="module")
def built(bucket, tmp_path_factory):
    """(build on s3://, build on this machine, configuration file)."""
    assert bucket.exists()
    folder = tmp_path_factory.mktemp("s3")
    try:
        config = write_corpus(folder / "data", pages=60)
    except SourceError as error:
        pytest.skip(str(error))
    local = run_build(config, folder / "store", overrides=OVERRIDES)
    return run_build(config, STORE, overrides=OVERRIDES), local, config


def test_the_bytes_are_those_of_a_local_store(built):
    made, local, _ = built
    assert bytes_of(made) == bytes_of(local)


def test_nothing_is_renamed_and_every_manifest_is_written_after_its_files(built, bucket):
    requests = re.findall(r'"(PUT|POST|DELETE) /corpora/store/(\S+) HTTP', bucket.read_text())
    assert not [path for method, path in requests if method == "DELETE" and not path.startswith("leases/")]
    written = [path.partition("?")[0] for method, path in requests if method != "DELETE"]
    manifests = [path for path in written if path.endswith("/manifest.json")]
    assert len(manifests) == len(built[0].stages) + 1
    for manifest in manifests:
        folder = manifest.removesuffix("manifest.json")
        assert [path for path in written if path.startswith(folder)][-1] == manifest


def test_it_is_listed_verified_and_explained(built):
    version = built[0].versions["filtered"]
    assert [entry["id"] for entry in describe_store(STORE)["versions"]] == [version.id]
    assert run_verification("filtered", STORE, quick=False, seed=0, stages=True, threads=4)["ok"]
    assert run_verification("filtered", STORE, quick=True, seed=0, stages=False, threads=4)["ok"]
    place = TrainingData(version, 1, 0).records(0)[0].document_ids[0]
    (document,) = explain_reference("filtered", place.hex(), STORE, None, 3)["documents"]
    assert document["verdict"] == "train"
    assert document["steps"][-1]["segments"][0]["shard"].startswith("train/")


def test_training_reads_the_same_batches(built):
    made, local, _ = built
    ours, theirs = (TrainingData(side.versions["filtered"], 4, 1) for side in (made, local))
    for step in range(3):
        assert (ours.batch(step).inputs == theirs.batch(step).inputs).all()


def test_a_training_that_reads_its_shards_there_makes_the_same_weights(built, tmp_path):
    _, local, config = built
    (tmp_path / "training.toml").write_text(TRAINING)
    weights = []
    for name, store in (("remote", STORE), ("local", str(config.parents[1] / "store"))):
        run = str(tmp_path / name)
        answer = run_training(str(tmp_path / "training.toml"), [], store, Wanted(run))
        assert (answer["version"], answer["steps"]) == (local.versions["filtered"].id, 3)
        weights.append(read_run(run)["result"]["weights"])
    assert weights[0] == weights[1]


def test_a_run_in_a_bucket_is_refused_before_anything_is_read_or_said(tmp_path, capsys):
    with pytest.raises(
        GlamError, match=r"gs://b/run: a run is written to a folder of this machine; give --run a local"
    ):
        run_training(str(tmp_path / "none.toml"), [], "gs://b/store", Wanted("gs://b/run"))
    assert capsys.readouterr().err == ""


def test_a_second_build_computes_nothing_and_reads_no_input_again(built):
    again = run_build(built[2], STORE, overrides=OVERRIDES)
    assert all(stage.reused for stage in again.stages)


def test_a_stage_without_its_manifest_is_not_there_and_is_cleaned_up(built):
    made, _, _ = built
    left = join(STORE, "stages", "holdout", "ff00", "decisions", "part")
    write_bytes(left, b"cut")
    listed = collect_garbage(STORE, False, False, [])["garbage"]
    assert ("stage", "unfinished") in {(item["kind"], item["reason"]) for item in listed}
    assert collect_garbage(STORE, True, False, [])["freed"] > 0
    assert not exists(left)
    assert "ff00" not in list_folders(join(STORE, "stages", "holdout"))
    assert find_version(STORE, "filtered").id == made.versions["filtered"].id


@pytest.mark.usefixtures("bucket")
def test_input_files_on_s3_are_remembered_by_their_etag(tmp_path):
    from pipelines.input_digests import InputDigests

    url = "s3://corpora/input/a"
    write_bytes(url, b"one")
    digests = InputDigests(str(tmp_path))
    sha256 = digests.read(url)
    digests.save()
    assert InputDigests(str(tmp_path)).remembered(url) == sha256
    write_bytes(url, b"two")
    assert InputDigests(str(tmp_path)).remembered(url) is None
