"""What is held out: a share of each language of each source, whole clusters, whole sources; nothing learns from it."""

import json
from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.build import build
from pipelines.config import HoldOut, load_corpus_config
from pipelines.documents import read_table
from pipelines.holdout import divide, quota
from pipelines.progress import SilentDisplay

HELD = {"heldout", "out_of_domain"}
TEXT = "the quick brown fox jumps over a lazy dog while seven wise owls watch from their old tall oak tree"
WORDS = TEXT.split()
LANGUAGES = ("de", "en", "fr", "la", "unknown", "zh")


@given(
    st.dictionaries(st.sampled_from(LANGUAGES), st.integers(1, 500), min_size=1),
    st.sampled_from([0.0, 0.01, 0.05, 0.3, 0.9]),
    st.integers(0, 3),
    st.integers(0, 40),
)
def test_a_quota_is_divided_over_languages_in_proportion(documents, share, minimum, maximum):
    settings = HoldOut(share=share, minimum=minimum, maximum=maximum)
    total = sum(documents.values())
    divided = divide(documents, settings)
    assert sum(divided.values()) == quota(total, settings)
    for language, number in documents.items():
        assert abs(divided[language] - sum(divided.values()) * number / total) < 1
        assert divided[language] <= number
    assert divide(dict(reversed(documents.items())), settings) == divided


def test_the_share_is_the_decimal_that_is_written():
    assert quota(100, HoldOut(share=0.29)) == 29  # in floats 28.999…


def test_a_source_without_documents_has_no_quota():
    assert divide({}, HoldOut(minimum=3)) == {}


def chain(number):
    """Three texts, each like the next, the first unlike the last, so that the first and the last both stay."""
    words = [f"{WORDS[i % len(WORDS)]}{number}{i}" for i in range(120)]
    first = [*words, "and", "so", "on"]
    changed = [
        [f"new{number}" if i in places else word for i, word in enumerate(words)]
        for places in ((20, 60), (20, 60, 80, 100))
    ]
    return [" ".join(text) for text in (first, *changed)]


@pytest.fixture(scope="module")
def made(small_config, tmp_path_factory):
    """The small corpus in all languages, with chains of near-duplicates within and across sources."""
    folder = tmp_path_factory.mktemp("holdout")
    texts = [chain(number) for number in range(60)]
    rows = {"lee": [text for three in texts for text in three[:2]], "lee-test": [], "more": []}
    for number, three in enumerate(texts):
        rows["lee-test" if number % 2 else "more"].append(three[2])
    for name, lines in rows.items():
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in lines))
    sources = [
        f"sources.{name}.files=['{{data}}/{pattern}', '{folder}/{name}.jsonl']"
        for name, pattern in (("lee", "*.jsonl"), ("lee-test", "*.jsonl.gz"))
    ]
    more = f"sources.more={{component='news', reader='jsonl', files=['{folder}/more.jsonl']}}"
    more_text = ["select.languages=[]", "holdout.share=0.3", "tokenizer.vocabulary_size=1500"]
    config = load_corpus_config(str(small_config), [*sources, more, *more_text])
    return build(config, str(folder / "store"), [], SilentDisplay(), until="classifier")


def decided(made):
    """Return (source, language, cluster, split) of every document that stays, by id."""
    stages = {stage.stage: stage for stage in made.stages}
    found = {}
    for extracted in (stage for stage in made.stages if stage.stage == "extract"):
        source = extracted.manifest["recipe"]["source"]
        for url, path in zip(extracted.urls("documents/"), extracted.paths("documents/"), strict=True):
            path = path.replace("documents/", "decisions/")
            columns = {
                "language": read_table(url, ["id", "language"]),
                "cluster": read_table(f"{stages['deduplicate'].url}/{path}", ["cluster"]),
                "split": read_table(f"{stages['holdout'].url}/{path}", ["split"]),
            }
            rows = zip(*(table.column(name).to_pylist() for name, table in columns.items()), strict=True)
            for identifier, row in zip(columns["language"].column("id").to_pylist(), rows, strict=True):
                if row[2] is not None:
                    found[identifier] = (source, *row)
    return found


def test_no_cluster_is_on_both_sides(made):
    clusters = defaultdict(list)
    for source, _, cluster, split in decided(made).values():
        clusters[cluster].append((source, split))
    several = [members for members in clusters.values() if len(members) > 1]
    assert sum({source for source, _ in members} == {"lee", "lee-test"} for members in several) >= 20
    assert sum({source for source, _ in members} == {"lee", "more"} for members in several) >= 20
    for members in several:
        assert not {split for _, split in members} & HELD
        assert all(split == "shared_cluster" for source, split in members if source == "lee-test")


def test_every_language_of_every_source_gives_its_share(made):
    (stage,) = [stage for stage in made.stages if stage.stage == "holdout"]
    rows = decided(made)
    counted = Counter((source, language, split in HELD) for source, language, _, split in rows.values())
    alone = Counter(cluster for _, _, cluster, _ in rows.values())
    eligible = defaultdict(Counter)
    for source, language, cluster, _ in rows.values():
        eligible[source][language] += alone[cluster] == 1
    assert len(eligible["pages"]) > 3
    for source, languages in eligible.items():
        wanted = divide(languages, HoldOut(share=0.3)) if source != "lee-test" else languages
        assert {language: counted[source, language, True] for language in languages} == wanted
        summary = stage.summary["strata"][source]
        assert {language: entry["heldout"] for language, entry in summary.items()} == wanted


def test_nothing_held_out_is_in_a_sample_that_is_learned_from(made):
    rows = decided(made)
    for name in ("tokenizer", "classifier"):
        (stage,) = [stage for stage in made.stages if stage.stage == name]
        sample = read_table(f"{stage.url}/train_sample.parquet", ["id", "source"])
        splits = {rows[identifier][3] for identifier in sample.column("id").to_pylist()}
        assert splits == {"train"}
        assert "lee-test" not in sample.column("source").to_pylist()
        assert {"lee", "plays"} <= set(sample.column("source").to_pylist())
