"""From raw files to dataset versions: the same bytes however it is run, nothing lost, nothing computed twice."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from building import bytes_of, run_build
from small_corpus import write_corpus

from pipelines.build import build
from pipelines.config import load_corpus_config
from pipelines.documents import read_batches, read_table
from pipelines.engine import EngineError
from pipelines.progress import SilentDisplay
from pipelines.sources.errors import SourceError
from pipelines.store.files import StoreError
from pipelines.store.sequences import decode_sequence
from pipelines.store.tfrecord import ShardReader
from pipelines.store.verification import verify_version
from pipelines.store.versions import find_version
from tokenizer.encode import Encoder

ROOT = Path(__file__).resolve().parents[2]


def test_two_processes_give_the_same_bytes_as_one(small_config, small_build, tmp_path):
    made = run_build(small_config, tmp_path / "store", "--direct_num_workers=2")
    assert bytes_of(made) == bytes_of(small_build[0])


def test_other_names_order_and_split_of_the_files_give_the_same_bytes(small_build, tmp_path):
    config = write_corpus(tmp_path / "data", names="zyxwvuts", warc_files=3)
    made = run_build(config, tmp_path / "store", "--runner=DirectRunner")
    assert bytes_of(made) == bytes_of(small_build[0])


def test_the_ledger_follows_every_document_into_the_version(small_build):
    answer = small_build[0].to_json()
    assert answer["records"]["pages"]["read"] == 160
    for source, records in answer["records"].items():
        accounted = records["used"] + sum(records["skipped"].values()) + records["quarantined"]
        assert records["read"] == accounted, source
    for source, documents in answer["documents"].items():
        assert documents["in"] == documents["out"] + sum(documents["dropped"].values()), source
    assert answer["documents"]["lee-test"]["out"] == 0
    assert answer["documents"]["pages"]["dropped"]["pareto"] > 0


def test_the_same_build_again_computes_nothing(small_config, small_build):
    made, store = small_build
    again = run_build(small_config, store)
    assert all(stage.reused for stage in again.stages)
    assert bytes_of(again) == bytes_of(made)


def test_a_changed_threshold_runs_only_what_depends_on_it(small_config, small_build):
    made, store = small_build
    again = run_build(small_config, store, overrides=["sample.alpha='2'"])
    computed = {stage.stage for stage in again.stages if not stage.reused}
    assert computed == {"sample", "subset", "account", "pack"}
    assert again.versions["unfiltered"].id == made.versions["unfiltered"].id
    assert again.versions["filtered"].id != made.versions["filtered"].id


def documents_in(version, component):
    found = {}
    for shard in version.components[component].shards:
        reader = ShardReader(shard)
        for number in range(len(reader)):
            record = decode_sequence(reader.record(number), version.token_dtype)
            for identifier, start, end in zip(
                record.document_ids, record.segment_bounds[:-1], record.segment_bounds[1:], strict=True
            ):
                found.setdefault(identifier, []).append(record.tokens[start:end])
    return found


def test_versions_differ_in_nothing_but_their_web_pages(small_build):
    versions = small_build[0].versions
    files = {
        name: {f["path"]: f["sha256"] for f in v.manifest["files"] if not f["path"].startswith("train/web/")}
        for name, v in versions.items()
    }
    assert files["filtered"] == files["random"] == files["unfiltered"]
    web = {name: set(documents_in(version, "web")) for name, version in versions.items()}
    assert web["filtered"] < web["unfiltered"]
    assert web["random"] < web["unfiltered"]
    assert web["random"] != web["filtered"]


def test_the_random_subset_has_as_many_tokens_as_the_filtered_pages(small_build):
    versions = small_build[0].versions
    filtered, random = (versions[name].components["web"].tokens for name in ("filtered", "random"))
    assert filtered <= random < filtered + 401  # less than one document more


def test_no_held_out_document_is_trained_on(small_build):
    version = small_build[0].versions["unfiltered"]
    train = {identifier for component in version.components for identifier in documents_in(version, component)}
    for source, held in version.heldout.items():
        ids = set()
        for shard in held.shards:
            reader = ShardReader(shard)
            for number in range(len(reader)):
                ids.update(decode_sequence(reader.record(number), version.token_dtype).document_ids)
        assert len(ids) == held.documents > 0, source
        assert not ids & train
    assert version.heldout["lee-test"].out_of_domain


def test_packed_tokens_are_the_documents_texts(small_build):
    made, _ = small_build
    version = made.versions["filtered"]
    encoder = Encoder(Path(version.tokenizer_url).read_bytes())
    packed = documents_in(version, "books")
    (extracted,) = [stage for stage in made.stages if stage.manifest["recipe"].get("source") == "plays"]
    texts = {}
    for url in extracted.urls("documents/"):
        table = read_table(url, ["id", "text"])
        texts |= dict(zip(table.column("id").to_pylist(), table.column("text").to_pylist(), strict=True))
    for identifier, pieces in packed.items():
        # The last token of a record is the first of the next, so each piece but a document's first repeats one.
        tokens = np.concatenate([pieces[0], *(piece[1:] for piece in pieces[1:])])
        assert encoder.decode(tokens[1:]) == texts[identifier]
    assert len(packed) == version.components["books"].documents


def test_held_out_bytes_are_those_of_the_texts(small_build):
    made, _ = small_build
    held = made.versions["filtered"].heldout["lee-test"]
    (extracted,) = [stage for stage in made.stages if stage.manifest["recipe"].get("source") == "lee-test"]
    by_name = {stage.stage: stage for stage in made.stages}
    total = 0
    for url, path in zip(extracted.urls("documents/"), extracted.paths("documents/"), strict=True):
        decision = f"{by_name['holdout'].url}/{path.replace('documents/', 'decisions/')}"
        for batch in read_batches(url, ("text",), {"holdout": (decision, ("split",))}):
            chosen = zip(batch["text"].to_pylist(), batch["holdout.split"].to_pylist(), strict=True)
            total += sum(len(text.encode()) for text, split in chosen if split == "out_of_domain")
    assert held.bytes == total


def test_scores_are_cross_fitted_and_pages_score_below_curated_text(small_build):
    by_name = {stage.stage: stage for stage in small_build[0].stages}
    assert by_name["classifier"].summary["heldout"]["auc"] > 0.7  # of a few dozen documents
    staying = by_name["deduplicate"].ledger["pages"]["documents"]["out"]
    assert sum(by_name["quality"].summary["histogram"]["pages"]) == staying
    assert set(by_name["quality"].summary["histogram"]) == {"pages"}


def test_sampling_is_the_stated_rule(small_build):
    made, _ = small_build
    by_name = {stage.stage: stage for stage in made.stages}
    (extracted,) = [stage for stage in made.stages if stage.manifest["recipe"].get("source") == "pages"]
    rows = []
    for path in extracted.paths("documents/"):
        decision = path.replace("documents/", "decisions/")
        sample = read_table(f"{by_name['sample'].url}/{decision}")
        scores = read_table(f"{by_name['quality'].url}/{decision}").column("score").to_pylist()
        for row, score in zip(sample.to_pylist(), scores, strict=True):
            if row["keep"] is not None:
                rows.append({**row, "score": score})
    rows.sort(key=lambda row: (row["score"], row["id"]))
    assert [row["rank"] for row in rows] == [i * 65536 // len(rows) for i in range(len(rows))]
    for row in rows:
        assert row["keep"] == (row["draw"] < 2**64 * 65536**3 // (2 * 65536 - row["rank"]) ** 3)


def test_a_version_is_verified_and_a_flipped_byte_is_found(small_config, tmp_path):
    made = run_build(small_config, tmp_path / "store")
    version = find_version(str(tmp_path / "store"), "filtered")
    assert verify_version(version) == []
    shard = Path(version.components["books"].shards[0])
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.unlink()
    shard.write_bytes(bytes(data))
    (bad,) = verify_version(version)
    assert str(shard).endswith(bad.path)
    (stage,) = [s for s in made.stages if s.stage == "pack" and s.manifest["recipe"]["component"] == "books"]
    (packed, *_) = stage.urls("", ".tfrecord")
    Path(packed).unlink()
    Path(packed).write_bytes(bytes(data))
    shutil.rmtree(version.url)
    with pytest.raises(StoreError, match=rf"its bytes are not those its stage wrote; delete {stage.url} and build"):
        run_build(small_config, tmp_path / "store")
    shutil.rmtree(stage.url)
    assert bytes_of(run_build(small_config, tmp_path / "store")) == bytes_of(made)
    assert made.versions["random"].id == find_version(str(tmp_path / "store"), "random").id


KILL = """
import os, signal, sys
from pipelines import {job}
def die(*a, **k):
    os.kill(os.getpid(), signal.SIGKILL)
{job}.run = die
from pipelines.build import build
from pipelines.config import load_corpus_config
from pipelines.progress import SilentDisplay
from pipelines.sources.errors import SourceError
build(load_corpus_config(sys.argv[1]), sys.argv[2], [], SilentDisplay())
"""


@pytest.mark.parametrize("job", ["holdout", "sample"])
def test_a_killed_build_goes_on_after_its_last_finished_stage(small_config, small_build, tmp_path, job):
    store = tmp_path / "store"
    code = KILL.format(job=job)
    killed = subprocess.run([sys.executable, "-c", code, small_config, store], cwd=ROOT, check=False)
    assert killed.returncode == -9
    made = run_build(small_config, store)
    assert bytes_of(made) == bytes_of(small_build[0])
    reused = {stage.stage for stage in made.stages if stage.reused}
    assert {"extract", "deduplicate"} <= reused
    assert job not in reused


def test_a_job_runs_alone_as_a_beam_program(small_config, tmp_path):
    command = [sys.executable, "-m", "pipelines.holdout", "--config", small_config, "--store", tmp_path / "store"]
    subprocess.run([*map(str, command), "--runner=FnApiRunner"], cwd=ROOT, check=True, capture_output=True)
    manifests = list((tmp_path / "store").rglob("manifest.json"))
    stages = [json.loads(path.read_text())["stage"] for path in manifests]
    assert sorted(set(stages)) == ["deduplicate", "extract", "holdout"]


def test_a_source_without_files_is_named_and_a_corpus_without_any_fails(small_config, tmp_path):
    overrides = ["sources.lee-test.files=['{data}/none*']", "holdout.sources=[]"]
    made = run_build(small_config, tmp_path / "store", overrides=overrides)
    assert made.files_missing == {"lee-test": ["{data}/none*"]}
    with pytest.raises(SourceError, match=r"no file matches any pattern .* give the folder with --set data=DIR"):
        run_build(small_config, tmp_path / "other", overrides=["data='/nowhere'"])


def test_too_much_damage_fails_the_run_and_names_the_first_record(tmp_path):
    config = write_corpus(tmp_path / "data")
    (tmp_path / "data" / "b.jsonl").write_bytes(b'{"id": 1, "text": "cut\n' * 30)
    message = r"source lee: 30 of \d+ records cannot be read.* extract\.error_budget = 0\.01"
    with pytest.raises(SourceError, match=message):
        run_build(config, tmp_path / "store")
    quarantine = list((tmp_path / "store").rglob("quarantine.jsonl"))
    assert max(len(path.read_text().splitlines()) for path in quarantine) == 30
    finished = [json.loads(path.read_text()) for path in (tmp_path / "store").rglob("manifest.json")]
    assert {stage["recipe"]["source"] for stage in finished} == set(load_corpus_config(str(config)).sources) - {"lee"}


def test_rows_of_shared_components_are_equal_in_every_batch_of_two_versions(small_build):
    from trainer.data import TrainingData

    versions = small_build[0].versions
    one, other = (TrainingData(versions[name], rows=8, seed=0) for name in ("filtered", "unfiltered"))
    shared = 0
    for step in range(40):
        for a, b in zip(one.records(step), other.records(step), strict=True):
            web = not np.array_equal(a.tokens, b.tokens)
            shared += not web
    assert shared >= 0.45 * 320  # half of the rows are web, some of those may coincide


@pytest.mark.parametrize("options", [[], ["--direct_num_workers=2"]], ids=["one process", "two processes"])
def test_a_damaged_document_shard_is_named_with_a_remedy(small_config, tmp_path, options):
    config = load_corpus_config(str(small_config))
    build(config, str(tmp_path), [], SilentDisplay(), until="extract")
    (shard, *_) = sorted(tmp_path.glob("stages/extract/*/documents/lee/*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(EngineError, match=rf"deduplicate: .*{shard.name}: not a sound Parquet file .* build again"):
        build(config, str(tmp_path), options, SilentDisplay())


def test_a_store_on_an_object_store_gives_the_same_bytes(small_config, small_build, tmp_path):
    store = f"memory://{tmp_path.name}"
    made = run_build(small_config, store)
    assert bytes_of(made) == bytes_of(small_build[0])
    version = find_version(store, "filtered")
    assert verify_version(version) == []
    reader = ShardReader(version.components["books"].shards[0])
    local = ShardReader(small_build[0].versions["filtered"].components["books"].shards[0])
    assert [reader.record(i) for i in range(3)] == [local.record(i) for i in range(3)]


def test_batches_read_natively_are_those_of_tf_data(small_build):
    import tensorflow as tf

    from trainer.data import TrainingData
    from trainer.order import TrainingOrder

    version, rows, seed = small_build[0].versions["filtered"], 8, 5
    spec = {"tokens": tf.io.FixedLenFeature([], tf.string)}

    def read(record):
        return tf.io.decode_raw(tf.io.parse_single_example(record, spec)["tokens"], tf.uint16)

    tokens = {
        name: np.stack(list(tf.data.TFRecordDataset(list(component.shards)).map(read).as_numpy_iterator()))
        for name, component in version.components.items()
    }
    weights = {name: component.weight for name, component in version.components.items()}
    order = TrainingOrder(weights, {name: len(records) for name, records in tokens.items()}, seed)
    data = TrainingData(version, rows, seed)
    for step in range(20):
        places = [order.place(step * rows + row) for row in range(rows)]
        theirs = np.stack([tokens[place.component][place.record] for place in places])
        batch = data.batch(step)
        np.testing.assert_array_equal(batch.inputs, theirs[:, :-1])
        np.testing.assert_array_equal(batch.targets, theirs[:, 1:])
