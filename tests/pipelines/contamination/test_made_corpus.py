"""Decontamination of a made corpus whose contaminated places are known: spans, frequent n-grams, workers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pipelines.account import read_account
from pipelines.build import Build
from pipelines.contamination.cuts import text_without
from pipelines.contamination.evaluation_records import EvaluationSetError
from pipelines.documents import read_table
from tests.pipelines.contamination.made import EXAMPLES, INJECTED, PAGES, build_made, write
from tests.pipelines.contamination.naive import naive_matches, naive_words
from tests.pipelines.packed_text import packed_texts_of

N = 13
CUT = {"remove": "spans", "window_characters": 20, "piece_characters": 100}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("made")
    write(made)
    return made


@pytest.fixture(scope="module")
def cut(folder: Path) -> Build:
    """The corpus with the matches and 20 characters around them cut out."""
    return build_made(folder, **CUT)


def stage_of(made: Build, name: str):
    (found,) = [stage for stage in made.stages if stage.stage == name]
    return found


def rows_of(made: Build) -> list[dict]:
    """Documents with the columns of their decision, in order of their number."""
    stage, documents = stage_of(made, "decontaminate"), stage_of(made, "extract")
    rows = []
    for url, decided in zip(documents.urls("documents/"), stage.urls("decisions/"), strict=True):
        pairs = zip(read_table(url).to_pylist(), read_table(decided).to_pylist(), strict=True)
        rows += [document | decision for document, decision in pairs]
    return sorted(rows, key=lambda row: int(row["native_key"]))


def test_what_was_injected_is_cut_out_and_nothing_else(cut: Build) -> None:
    for number, row in enumerate(rows_of(cut)):
        left = text_without(row["text"], row["spans"])
        assert row["split"] == "train"
        assert row["text_bytes"] == len(left.encode())
        if number not in INJECTED:
            assert (row["matches"], row["spans"], left) == (0, None, PAGES[number])
            continue
        ((start, end),) = row["spans"]
        words = naive_words(INJECTED[number])
        gone = naive_words(row["text"][start:end])
        assert row["matches"] == len(words) - N + 1
        assert any(gone[i : i + len(words)] == words for i in range(len(gone)))
        assert len(words) < len(gone) < len(words) + 20
        assert naive_words(left) == naive_words(row["text"][:start]) + naive_words(row["text"][end:])


def test_the_version_is_made_of_what_is_left(cut: Build) -> None:
    packed = packed_texts_of(cut.versions["all"], "web")
    assert {row["id"]: text_without(row["text"], row["spans"]) for row in rows_of(cut)} == packed
    assert all(naive_matches(text, EXAMPLES, N) == [] for text in packed.values())


def test_a_version_without_the_spans_is_clean(cut: Build) -> None:
    figures = cut.versions["all"].manifest["contamination"]["task"]
    assert (figures["dirty"], figures["documents"], figures["found"]) == (0, 0, 3)


def test_a_second_comparison_of_what_is_left_finds_nothing(cut: Build, tmp_path: Path) -> None:
    write(tmp_path)
    left = [{"id": row["native_key"], "text": text_without(row["text"], row["spans"])} for row in rows_of(cut)]
    (tmp_path / "pages.jsonl").write_text("\n".join(map(json.dumps, left)))
    again = build_made(tmp_path)
    assert stage_of(again, "decontaminate").summary == {"remove": "nothing", "documents": 0}
    assert again.versions["all"].manifest["contamination"]["task"]["found"] == 0


def test_the_account_tells_the_bytes_of_the_spans(cut: Build) -> None:
    rows = rows_of(cut)
    entry = read_account(stage_of(cut, "account"))["pages"]["decontaminate"]
    whole, left = sum(len(row["text"].encode()) for row in rows), sum(row["text_bytes"] for row in rows)
    assert entry["documents"] == {"in": len(PAGES), "out": len(PAGES), "dropped": {}}
    assert entry["bytes"] == {"in": whole, "out": left, "dropped": {"contaminated_spans": whole - left}}
    assert entry["tokens"]["out"] + len(PAGES) == cut.versions["all"].components["web"].tokens


def test_two_workers_give_the_same_bytes(cut: Build, folder: Path) -> None:
    for name in ("evaluation_ngrams", "decontaminate"):
        shutil.rmtree(stage_of(cut, name).url)
    again = build_made(folder, ["--direct_num_workers=2"], until="decontaminate", **CUT)
    for name in ("evaluation_ngrams", "decontaminate"):
        assert not stage_of(again, name).reused
        assert stage_of(again, name).output_id == stage_of(cut, name).output_id


def test_documents_with_too_little_left_are_dropped_by_reason(folder: Path) -> None:
    made = build_made(folder, **CUT | {"piece_characters": 10_000})
    dropped = made.to_json()["documents"]["pages"]["dropped"]
    assert dropped == {"contaminated_short": len(INJECTED)}
    assert made.versions["all"].components["web"].documents == len(PAGES) - len(INJECTED)


def test_removal_without_any_evaluation_set_is_refused(folder: Path) -> None:
    absent = {"task": {"files": ["nowhere.jsonl"], "fields": ["text"]}}
    with pytest.raises(EvaluationSetError, match=r"remove = 'documents', but no evaluation set has a file"):
        build_made(folder, until="decontaminate", remove="documents", folder=None, sets=absent)


def test_ngrams_of_more_documents_than_allowed_are_ignored(folder: Path) -> None:
    made = build_made(folder, ignore_frequent=1, remove="documents")
    dropped = [number for number, row in enumerate(rows_of(made)) if row["split"] == "contaminated"]
    assert dropped == [5, 6]  # pages 3 and 4 hold the same example
    assert made.versions["all"].manifest["contamination"]["task"]["found"] == 2
    kept = build_made(folder, ignore_frequent=2, remove="documents")
    assert kept.to_json()["documents"]["pages"]["dropped"] == {"contaminated": len(INJECTED)}
