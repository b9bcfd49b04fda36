"""Documents, bytes and tokens are followed apart from the jobs that decided on them."""

import copy

import pytest

from pipelines.account import check, read_account
from pipelines.documents import read_table
from pipelines.store.ledger import LedgerImbalanceError


@pytest.fixture
def account(small_build):
    return read_account(next(stage for stage in small_build[0].stages if stage.stage == "account"))


def test_the_account_agrees_with_every_job(account, small_build):
    jobs = {stage.stage: stage for stage in small_build[0].stages}
    for job in ("deduplicate", "holdout", "sample", "subset"):
        for source, counts in jobs[job].ledger.items():
            found = account[source][job]["documents"]
            assert (found["in"], found["out"]) == (counts["documents"]["in"], counts["documents"]["out"])
            assert found["dropped"] == counts["documents"]["dropped"]


def test_bytes_are_those_of_the_texts(account, small_build):
    for stage in small_build[0].stages:
        source = stage.manifest["recipe"].get("source")
        if stage.stage == "extract":
            texts = [
                t for url in stage.urls("documents/") for t in read_table(url, ["text"]).column("text").to_pylist()
            ]
            assert account[source]["deduplicate"]["bytes"]["in"] == sum(len(text.encode()) for text in texts)


def test_tokens_into_packing_are_those_of_the_version(account, small_build):
    version = small_build[0].versions["unfiltered"]
    books = version.components["books"]
    assert account["plays"]["holdout"]["tokens"]["out"] + books.documents == books.tokens


def test_an_imbalance_fails_the_run(account):
    entry = copy.deepcopy(account["pages"])
    extracted = entry["deduplicate"]["documents"]["in"]
    jobs = ["deduplicate", "holdout", "sample", "subset"]
    check("pages", entry, jobs, extracted)
    entry["sample"]["bytes"]["in"] -= 1
    with pytest.raises(LedgerImbalanceError, match=r"sample, source pages: \d+ bytes were sent, \d+ were decided on"):
        check("pages", entry, jobs, extracted)
