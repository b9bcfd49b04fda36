"""Every verdict on a document: equal to the ledger, to the jobs' tables, and to the shards read from end to end."""

from __future__ import annotations

from collections import Counter

import pytest

from pipelines.documents import read_table
from pipelines.explanation import Explainer
from pipelines.lookup import VersionDocuments
from pipelines.packed_documents import describe_records, segments_in, segments_of
from pipelines.store.errors import GlamError
from pipelines.store.sequences import decode_sequence
from pipelines.store.tfrecord import ShardReader
from pipelines.verdicts import HELD_OUT, TRAIN, Verdicts


def verdicts_of(made, store, name):
    """Return {(source, id): (verdict, tokens)} of a version."""
    documents = VersionDocuments(str(store), made.versions[name])
    verdicts = Verdicts(documents)
    return {
        (source, identifier): (verdict, tokens)
        for source, shard in documents.shards()
        for judged in verdicts.read(source, shard)
        for identifier, verdict, tokens in zip(
            judged.columns["id"].to_pylist(), judged.verdicts.to_pylist(), judged.tokens.tolist(), strict=True
        )
    }


@pytest.mark.parametrize("name", ["filtered", "random", "unfiltered"])
def test_verdicts_add_up_to_the_ledger_and_to_the_tokens_of_the_version(small_build, name):
    made, store = small_build
    version, judged = made.versions[name], verdicts_of(made, store, name)
    component_of = Verdicts(VersionDocuments(str(store), version)).component_of
    tokens: Counter[str] = Counter()
    for (source, _), (verdict, number) in judged.items():
        tokens[component_of[source] if verdict == TRAIN else source] += number
    for source, entry in version.manifest["ledger"].items():
        counted = Counter(verdict for (its, _), (verdict, _) in judged.items() if its == source)
        expected = entry["documents"]["dropped"] | {TRAIN: entry["documents"]["out"]}
        assert counted == Counter({verdict: number for verdict, number in expected.items() if number}), source
        if source in version.heldout:
            assert tokens[source] == version.heldout[source].tokens
    for component, part in version.components.items():
        assert tokens[component] == part.tokens


def test_a_document_is_found_in_its_shard_as_by_reading_all_of_it(small_build):
    made, store = small_build
    version = made.versions["filtered"]
    seed, dtype = version.manifest["recipe"]["seed"], version.token_dtype
    sets = [part.shards for part in version.components.values()] + [held.shards for held in version.heldout.values()]
    checked = 0
    for shards in sets:
        expected = {}
        for shard in shards:
            reader = ShardReader(shard)
            for number in range(len(reader)):
                for part in segments_in(shard, number, decode_sequence(reader.record(number), dtype)):
                    expected.setdefault(part.id, []).append(part)
        for identifier, parts in expected.items():
            assert segments_of(identifier, shards, dtype, seed) == parts
            checked += 1
        assert segments_of(bytes(16), shards, dtype, seed) == []
    judged = verdicts_of(made, store, "filtered")
    assert checked == sum(verdict in (TRAIN, *HELD_OUT) for verdict, _ in judged.values())


def test_documents_of_every_verdict_are_explained_up_to_the_job_that_dropped_them(small_build):
    made, store = small_build
    documents = VersionDocuments(str(store), made.versions["filtered"])
    explainer = Explainer(str(store), documents, features=3)
    seen: Counter[tuple[str, str]] = Counter()
    for (source, identifier), (verdict, tokens) in verdicts_of(made, store, "filtered").items():
        seen[source, verdict] += 1
        if seen[source, verdict] > 2:
            continue
        (place,) = documents.find(identifier.hex())
        explained = explainer.explain(place)
        steps = {step["step"]: step for step in explained["steps"]}
        assert explained["verdict"] == verdict
        assert steps["extract"]["copies"]
        assert steps["extract"]["licence"] == "unknown"
        if verdict in (TRAIN, *HELD_OUT):
            assert explained["dropped_at"] is None
            ends = [part["document_offset"] + part["tokens"] for part in steps["pack"]["segments"]]
            assert ends[-1] == tokens
        else:
            assert explained["dropped_at"] == list(steps)[-1] == ("sample" if verdict == "pareto" else "deduplicate")
            assert "pack" not in steps
        if source == "pages" and verdict in (TRAIN, "pareto"):
            draw = steps["sample"]
            assert draw["T"] == 2**64 * 65536**3 // (2 * 65536 - draw["s"]) ** 3
            assert (draw["U"] < draw["T"]) == draw["keep"] == (verdict == TRAIN)
            assert len(steps["quality"]["features"]) == 3
    assert {verdict for _, verdict in seen} >= {"language", "too_short", "heldout", "out_of_domain", "pareto", TRAIN}


def test_every_copy_of_a_document_is_named_by_file_and_offset(small_build):
    made, store = small_build
    documents = VersionDocuments(str(store), made.versions["filtered"])
    (stage,) = [stage for stage in made.stages if stage.manifest["recipe"].get("source") == "pages"]
    rows = [
        row
        for file in stage.manifest["side"]["files"]
        if file["path"].startswith("provenance/")
        for row in read_table(f"{stage.url}/{file['path']}").to_pylist()
    ]
    for row in rows[:20]:
        (place,) = documents.find(row["id"].hex())
        assert {"file": row["file"], "offset": row["offset"]} in documents.provenance(place)


def test_a_record_that_gave_no_document_is_found_by_its_url_with_the_reason(small_build):
    made, store = small_build
    documents = VersionDocuments(str(store), made.versions["filtered"])
    records = made.versions["filtered"].manifest["ledger"]["pages"]["records"]
    assert records["skipped"], "the corpus has pages without text"
    found = 0
    for number in range(160):
        url = f"http://page{number}.example/"
        rows = documents.left_out(url)
        assert bool(rows) != bool(documents.find(url)), "a page gives a document or is left out"
        for row in rows:
            assert row["native_key"] == f"{url} 2026-01-01T00:00:00Z"
            assert row["file"].endswith(".warc.gz")
            assert row["reason"] in records["skipped"]
            found += 1
        if found > 2:
            break
    assert found > 2


def test_what_stands_in_a_record_is_described(small_build):
    made, store = small_build
    version = made.versions["filtered"]
    documents = VersionDocuments(str(store), version)
    shard = version.manifest["components"]["web"]["shards"][0]
    (segments,) = describe_records(documents, [(shard, 3)])
    record = decode_sequence(ShardReader(f"{version.url}/{shard}").record(3), version.token_dtype)
    assert [part["id"] for part in segments] == [identifier.hex() for identifier in record.document_ids]
    for part in segments:
        (place,) = documents.find(part["id"])
        assert part["score"] == documents.decisions("quality", [place])[0]["score"]
        assert part["url"] == documents.documents([place], ["url"])[0]["url"]
    with pytest.raises(GlamError, match=r"--record 999999: .* has \d+ records"):
        describe_records(documents, [(shard, 999_999)])
    with pytest.raises(GlamError, match=r"--shard train/none: version filtered has no such shard"):
        describe_records(documents, [("train/none", 0)])
